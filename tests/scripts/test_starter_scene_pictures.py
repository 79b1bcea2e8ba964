"""The scenes of the starter's training in Blender: layers that fit each other, and runs that go on."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.bpy, pytest.mark.newest, pytest.mark.slow]

SET = "held_scenes"


def test_a_run_renders_what_is_missing_and_the_layers_show_the_same_scene(tmp_path):
    from starter import scenes

    scenes.lay_out(tmp_path, SET, 2)
    scenes.ready(tmp_path, SET)[0] = 1
    scenes.prepare(tmp_path, SET, lambda text: None, 1, 2)
    layers = scenes.load(tmp_path, SET)
    assert not any(layer[0].any() for layer in layers.values()), "what is there stays as it is"
    picture, twin, depth, lines, things = (np.array(layers[name][1]) for name in scenes.LAYERS)
    covered = np.any(scenes.shown(scenes.scene_of(SET, 1), things), 0)
    change = np.abs(picture.astype(int) - twin).mean(-1)
    assert change[covered].mean() > 10 and change[covered].mean() > 3 * change[~covered].mean()
    assert np.ptp(twin[covered].astype(int), -1).mean() < 25, "neutral"
    assert set(np.unique(lines)) == {0, 255} and depth.max() == 255
    border = covered ^ np.roll(covered, 1, 1)
    assert (lines[border] > 0).mean() > 0.4, "lines go along the objects' borders"


def test_what_goes_wrong_in_the_process_is_told(tmp_path, monkeypatch):
    from starter import scenes

    monkeypatch.setitem(scenes.SETS, "unknown", (1, 1, 0.0))
    with pytest.raises(RuntimeError, match="KeyError: 'unknown'"):
        scenes.prepare(tmp_path, "unknown", lambda text: None, 1)
