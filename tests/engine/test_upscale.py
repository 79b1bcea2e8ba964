"""Larger pictures: tile by tile, as a task of its own and as a second pass."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Note, Source, Step
from tests.support.engine import small
from tests.support.upscaling import opaque, order, picture, pixels_of

pytestmark = pytest.mark.slow


def test_a_picture_is_refined_in_tiles(run, sd):
    events = run(order(sd, 150, 100), source=Source(pixels=opaque(75, 50)))
    result = events[-1].results[0]
    assert (result.width, result.height) == (150, 100) and pixels_of(result).shape == (100, 150, 3)
    steps = [event for event in events if isinstance(event, Step) and event.step]
    assert [event.step for event in steps] == list(range(1,
                                                         len(steps) + 1)) and {event.steps
                                                                               for event in steps} == {len(steps)}
    assert len(steps) == 2 * 3 * 2  # two steps in each of 3 × 2 tiles
    again = run(order(sd, 150, 100), source=Source(pixels=opaque(75, 50)))[-1].results[0]
    assert np.array_equal(pixels_of(result), pixels_of(again))
    other = run(order(sd, 150, 100, seed=8), source=Source(pixels=opaque(75, 50)))[-1].results[0]
    assert not np.array_equal(pixels_of(result), pixels_of(other))


def test_strength_0_only_enlarges_and_keeps_alpha(run, sd):
    source = picture(40, 30)
    events = run(order(sd, 80, 60, strength=0.0), source=Source(pixels=source))
    expected = Image.fromarray(source)
    bands = [band.resize((80, 60), Image.Resampling.LANCZOS) for band in expected.split()]
    assert np.array_equal(pixels_of(events[-1].results[0]), np.dstack([np.asarray(band) for band in bands]))
    assert not [event for event in events if isinstance(event, (Step, Note))]
    assert "only enlarged" in next(event.text
                                   for event in run(order(sd, 80, 60, strength=0.1), source=Source(pixels=source))
                                   if isinstance(event, Note))


def test_alpha_is_kept(run, sd):
    source = picture(40, 40)
    source = np.dstack([source[..., :3], np.where(np.arange(40) < 20, 0, 255).astype(np.uint8)[None].repeat(40, 0)])
    alpha = pixels_of(run(order(sd, 80, 80), source=Source(pixels=source))[-1].results[0])[..., 3]
    assert alpha[:, :36].max() < 30 and alpha[:, 44:].min() > 225


def test_one_tile_is_plain_image_to_image(engine, sd):
    source = opaque(64, 64)
    enlarged = engine.upscale(source, "brick", scale=1.0, strength=0.5, steps=4, seed=3, model=sd, tile=64)
    assert np.array_equal(np.asarray(enlarged),
                          np.asarray(engine.restyle(source, "brick", strength=0.5, steps=4, seed=3, model=sd)[0]))


@pytest.mark.parametrize("tiling", ["xy", "x"])
def test_a_seamless_texture_stays_seamless(engine, sd, tiling):
    """Rolling a tiling source by half must not show a border in the result: tiles go round it."""
    tile = engine.generate("brick", seed=3, steps=3, size=(64, 64), model=sd, tiling="xy")[0]
    large = np.asarray(
        engine.upscale(tile, "brick", scale=2.0, strength=0.4, steps=5, seed=1, model=sd, tile=64, tiling=tiling),
        float)
    for axis in [1] if tiling == "x" else [0, 1]:
        inside = np.abs(np.diff(large, axis=axis)).mean()
        assert np.abs(large.take(0, axis) - large.take(-1, axis)).mean() < 1.6 * inside


def test_high_res_fix(run, engine, sd):
    events = run(small(sd, refine_scale=2.0, refine_strength=0.5, tile=64, steps=4, count=2))
    assert isinstance(events[-1], Finished)
    assert [(result.width, result.height) for result in events[-1].results] == [(128, 128)] * 2
    for image in (1, 2):
        steps = [event for event in events if isinstance(event, Step) and event.image == image and event.step]
        assert [event.step for event in steps] == list(range(1, 4 + 9 * 2 + 1)) and steps[-1].steps == 22
    first = Image.open(run(small(sd, steps=4))[-1].results[0].path)
    unrefined = run(small(sd, refine_scale=2.0, refine_strength=0.0, steps=4))[-1].results[0]
    assert np.array_equal(pixels_of(unrefined), np.asarray(first.resize((128, 128), Image.Resampling.LANCZOS)))


def test_previews_show_the_whole_picture(run, sd, monkeypatch):
    from blender_sd.engine.denoise import previews

    monkeypatch.setattr(previews.Preview, "due", lambda self: True)
    shown = [event.preview for event in run(order(sd, 150, 100), source=Source(pixels=opaque(75, 50)))
             if isinstance(event, Step) and event.preview is not None]
    assert len(shown) >= 6 and {preview.shape for preview in shown} == {(100, 150, 3)}
    assert not np.array_equal(shown[0], shown[-1])


def test_cancelled_between_tiles(run, sd, tmp_path):
    seen = []
    events = run(order(sd, 150, 100), source=Source(pixels=opaque(75, 50)), output=tmp_path,
                 on_event=seen.append, cancelled=lambda: len([event for event in seen if isinstance(event, Step)]) > 5)
    assert isinstance(events[-1], Cancelled) and not list(tmp_path.glob("*.png"))


def test_without_a_source(run, sd):
    ending = run(order(sd, 128, 128))[-1]
    assert isinstance(ending, Failed) and ending.kind == SourceUnusable.kind
