"""Restyling stereoscopic animations through the public call: both eyes are painted alike, in files of their own."""
from __future__ import annotations

import os

import bpy
import numpy as np
import pytest

from blender_sd.calls import sequences
from blender_sd.core.errors import InvalidRequest
from blender_sd.library.shot_folders import shot_in
from blender_sd.protocol.shots import Shot
from tests.support.calls import PATIENCE

pytestmark = [pytest.mark.bpy, pytest.mark.slow]

APART = 4  # pixels from a point in one eye's picture to the same in the other's


@pytest.fixture
def eyes(camera_scene):
    """A wall that fills the picture, seen by two parallel eyes."""
    scene = camera_scene(64)
    wall = bpy.context.object
    wall.scale, wall.location.y = (9, 1, 9), 1
    scene.camera.driver_add("location", 0).driver.expression = "frame / 20"
    scene.frame_start, scene.frame_end, scene.render.use_multiview = 1, 3, True
    stereo, lens = scene.camera.data.stereo, scene.camera.data
    stereo.convergence_mode, stereo.pivot = "PARALLEL", "CENTER"
    stereo.interocular_distance = APART * 6 / (64 * lens.lens / lens.sensor_width)
    return scene


@pytest.fixture
def settings(small):
    return {**small, "strength": 0.8}


def pixels(path) -> np.ndarray:
    return np.array(bpy.data.images.load(str(path)).pixels[:]).reshape(64, 64, 4)[..., :3] * 255


def between_eyes(paths) -> float:
    """Return how much the colours of the same points differ between the eyes, over all frames."""
    pictures = [pixels(path) for path in paths]
    return float(np.mean([np.abs(left[:, APART:] - right[:, :-APART]).mean()
                          for left, right in zip(pictures[::2], pictures[1::2], strict=True)]))


def strips_of(scene):
    return getattr(scene.sequence_editor, "strips", None) or scene.sequence_editor.sequences


def test_both_eyes_are_painted_alike(sd, eyes, settings, tmp_path):
    job = sd.restyle_sequence("clay", output=tmp_path / "out", movie=tmp_path / "a.mp4", exr=True, place="sequencer",
                              **settings)
    *files, left, right = job.result(PATIENCE)
    names = [f"00000{frame}{eye}" for frame in (1, 2, 3) for eye in ("_L", "_R")]
    assert [path.name for path in files] == [f"{name}.png" for name in names] + [f"{name}.exr" for name in names]
    assert [path.name for path in (left, right)] == ["a_L.mp4", "a_R.mp4"] and left.exists() and right.exists()
    assert sequences.is_finished(tmp_path / "out") and sequences.frames_of(tmp_path / "out") == (1, 2, 3)
    assert Shot(shot_in(str(tmp_path / "out"))).info.views == ("_L", "_R")
    strip, = strips_of(eyes)
    assert strip.use_multiview and [item.filename for item in strip.elements] == [f"{name}.png" for name in names[::2]]
    free = sd.restyle_sequence("clay", output=tmp_path / "free", consistency=0.0, **settings).result(PATIENCE)
    assert between_eyes(files[:6]) < 0.1 * between_eyes(free)


def test_it_goes_on_after_a_stop_and_in_parts(sd, eyes, settings, tmp_path):
    out = tmp_path / "out"
    first = sd.restyle_sequence("clay", output=out, only="1-2", **settings).result(PATIENCE)
    assert [path.name for path in first] == ["000001_L.png", "000001_R.png", "000002_L.png", "000002_R.png"]
    whole = list(map(pixels, first))
    os.remove(first[2])  # one eye's, as after a stop
    os.remove(shot_in(str(out)) + "/shot.json")
    os.remove(shot_in(str(out)) + "/frames/000007.png")  # the right eye of the last frame
    before = first[0].stat().st_mtime_ns
    paths = sd.restyle_sequence("clay", output=out, resume=True, **settings).result(PATIENCE)
    assert len(paths) == 6 and paths[0].stat().st_mtime_ns == before
    assert np.array_equal(list(map(pixels, paths[:4])), whole)
    os.remove(shot_in(str(out)) + "/shot.json")
    eyes.render.use_multiview = False
    with pytest.raises(InvalidRequest, match="views"):
        sd.restyle_sequence("clay", output=out, resume=True, **settings)


def test_a_keyframe_by_hand_is_seen_by_both_eyes(sd, eyes, settings, tmp_path):
    eyes.frame_end = 1
    own = np.full((64, 64, 4), (200, 30, 30, 255), np.uint8)
    left, right = map(pixels, sd.restyle_sequence("clay", output=tmp_path / "out", keyframes={1: own},
                                                  **settings).result(PATIENCE))
    assert np.abs(left - own[0, 0, :3]).mean() < 3
    assert (right[:, :-APART, 0] - right[:, :-APART, 1]).mean() > 60, "red, though the tiny model distorts colours"


def test_the_preview_has_keyframes_of_the_first_eye(sd, eyes, settings, tmp_path):
    keys = sd.restyle_sequence("clay", output=tmp_path / "out", keyframes_only=True, key_distance=2,
                               **settings).result(PATIENCE)
    assert [path.name for path in keys if path.stem.endswith("_L")] == ["000001_L.png", "000003_L.png"]


def test_the_compositor_gets_both_eyes(sd, eyes, settings, tmp_path):
    sd.restyle_sequence("clay", output=tmp_path / "out", place="compositor", **settings).result(PATIENCE)
    image = next(image for image in bpy.data.images if image.source == "SEQUENCE")
    assert image.is_stereo_3d and image.filepath.endswith("000001_L.png")
