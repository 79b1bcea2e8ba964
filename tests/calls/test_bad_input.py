"""Bad input: one clear sentence, a typed error, and a scene that is as it was."""
from __future__ import annotations

import os
import shutil
import signal
import time

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.calls import history
from blender_sd.calls.runtime import runtime
from blender_sd.core import errors
from tests.support.calls import PATIENCE, pixels, run_until

pytestmark = pytest.mark.bpy


def state_of_file() -> tuple:
    return tuple(len(getattr(bpy.data, kind)) for kind in ("images", "materials", "meshes", "objects"))


ORDERS = {
    "unknown sampler": ({"sampler": "magic"}, errors.InvalidRequest, "no sampler called 'magic'"),
    "size 0": ({"size": (0, 64)}, errors.InvalidRequest, "Width must be between"),
    "size of one number": ({"size": 64}, errors.InvalidRequest, "two whole numbers"),
    "guidance NaN": ({"guidance": float("nan")}, errors.InvalidRequest, "finite"),
    "steps 0": ({"steps": 0}, errors.InvalidRequest, "Steps must be between"),
    "unknown tiling": ({"tiling": "z"}, errors.InvalidRequest, "no tiling called 'z'"),
    "negative seed": ({"seed": -2}, errors.InvalidRequest, "Seed must be between"),
    "unknown model": ({"model": "nobody"}, errors.ModelNotFound, "no model called 'nobody'"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_settings_that_cannot_be_met_are_refused_at_once(sd, small, name):
    changes, error, words = ORDERS[name]
    before, jobs = state_of_file(), len(sd.jobs())
    with pytest.raises(error, match=words) as caught:
        sd.generate("x", **{**small, **changes})
    assert caught.value.hint or error is errors.InvalidRequest
    assert state_of_file() == before and len(sd.jobs()) == jobs


SOURCES = {
    "1×1": np.zeros((1, 1, 3), np.uint8),
    "16k": np.zeros((16, 16384, 3), np.uint8),
    "NaN": np.full((32, 32, 3), np.nan),
    "no image": np.zeros(32, np.uint8),
    "missing file": "nowhere/picture.png",
    "no Render Result": "RENDER",
    "no camera": "CAMERA",
    "something else": 42,
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_that_cannot_be_used_are_refused_at_once(sd, small, name):
    before = state_of_file()
    with pytest.raises(errors.SourceUnusable) as caught:
        sd.restyle(SOURCES[name], "x", **small)
    assert caught.value.message and caught.value.hint
    assert state_of_file() == before


def test_the_viewport_needs_a_window(sd, small):
    with pytest.raises(errors.NeedsWindow):
        sd.restyle("VIEWPORT", "x", **small)


def test_an_image_whose_file_is_gone(sd, small, tmp_path):
    image = bpy.data.images.new("Gone", 32, 32)
    image.source, image.filepath = "FILE", str(tmp_path / "gone.png")
    with pytest.raises(errors.SourceUnusable, match="Gone"):
        sd.restyle(image, "x", **small)


def test_a_broken_model_folder(sd, small, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{", encoding="utf-8")
    with pytest.raises(errors.ModelUnreadable):
        sd.generate("x", **{**small, "model": str(tmp_path / "broken")})


def test_objects_that_take_no_texture(sd, small):
    image = bpy.data.images.new("Any", 8, 8)
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    with pytest.raises(errors.TargetUnusable):
        sd.apply(image, lamp)
    empty = bpy.data.objects.new("Empty", bpy.data.meshes.new("Empty"))
    with pytest.raises(errors.TargetUnusable):
        sd.apply(image, empty)


def _pixels(image):
    return list(image.pixels)


def test_a_prompt_longer_than_the_text_encoders_window_is_read_to_its_end(sd, small):
    jobs = [sd.generate("brick " * 200 + end, size=(64, 64), **{**small, "guidance": 9.0}) for end in ("red", "blue")]
    one, other = (_pixels(job.result(timeout=PATIENCE)[0]) for job in jobs)
    assert one != other and not any(job.notes for job in jobs)


def test_an_output_folder_that_is_a_file(sd, small, tmp_path):
    from blender_sd.calls import config

    (tmp_path / "file").write_text("x", encoding="utf-8")
    kept = runtime.config
    runtime.config = config.replace(kept, output=str(tmp_path / "file"))
    try:
        with pytest.raises(errors.OutputUnwritable):
            sd.generate("x", **small)
    finally:
        runtime.config = kept


def test_a_file_opened_meanwhile_keeps_the_picture_on_disk(sd, painting):
    job = sd.generate("x", **{**painting, "steps": 30})
    run_until(sd, lambda: job.step > 0)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    before = state_of_file()
    with pytest.raises(errors.TargetUnusable, match="Another file"):
        job.result(timeout=PATIENCE)
    assert os.path.isfile(job.results[0].path) and state_of_file() == before


def test_a_deleted_target_keeps_the_picture(sd, painting, cube):
    job = sd.generate("x", **{**painting, "steps": 30}, target=scene.freeze_target(bpy.context, "material"))
    run_until(sd, lambda: job.step > 0)
    bpy.data.objects.remove(cube)
    with pytest.raises(errors.TargetUnusable, match="deleted"):
        job.result(timeout=PATIENCE)
    assert os.path.isfile(job.results[0].path)


def test_the_file_saved_meanwhile(sd, painting, tmp_path):
    job = sd.generate("x", **{**painting, "steps": 30})
    run_until(sd, lambda: job.step > 0)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mid.blend"))
    (image,) = job.result(timeout=PATIENCE)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "after.blend"))
    name = image.name
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "after.blend"))
    assert bpy.data.images[name].packed_file


@pytest.fixture
def textured(cube):
    """The cube with a texture, which the target `slot` then means."""
    scene.apply_image(bpy.data.images.new("rough wood", 8, 8), cube)
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="prepared")
    return cube


def begun(sd, painting, kind="material", **settings):
    """A job for the target `kind` that is being painted."""
    job = sd.generate("red brick", **{**painting, "steps": 30, **settings},
                      target=scene.freeze_target(bpy.context, kind))
    run_until(sd, lambda: job.step > 0)
    return job


def shown(material) -> list[bpy.types.Image]:
    return [node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]


def test_a_picture_whose_folder_is_gone_is_in_the_open_file(sd, painting, cube):
    folder = sd.output_folder()
    job = begun(sd, painting, steps=200)
    shutil.rmtree(folder)
    image, = job.result(timeout=PATIENCE)
    assert job.results[0].path == "" and image.packed_file and sd.recall(image) == job.results[0].request
    assert "open file" in "".join(job.notes)
    assert image in shown(cube.active_material)
    again, = sd.generate("red brick", **{**painting, "steps": 200}).result(timeout=PATIENCE)  # the folder is made again
    assert np.array_equal(pixels(again), pixels(image)) and len(list(folder.glob("*.png"))) == 1


def test_undo_meanwhile_takes_nothing_from_the_picture(sd, painting, textured):
    job = begun(sd, painting, "slot")
    bpy.data.objects["Cube"].location.x += 1
    bpy.ops.ed.undo_push(message="moved")
    bpy.ops.ed.undo()
    image, = job.result(timeout=PATIENCE)
    assert shown(bpy.data.objects["Cube"].active_material) == [image]
    bpy.ops.ed.undo()
    assert [one.name for one in shown(bpy.data.objects["Cube"].active_material)] == ["rough wood"]
    assert [entry.path for entry in history.history()] == [job.results[0].path]
    assert history.open_picture(job.results[0].path).packed_file


def test_everything_renamed_meanwhile(sd, painting, textured):
    job = begun(sd, painting, "slot")
    material = textured.active_material
    textured.name, material.name, bpy.data.images[
        "rough wood"].name, bpy.context.scene.name = "house", "walls", "stone", "shot 20"
    bpy.data.objects.new("Cube", None)
    for node in material.node_tree.nodes:
        node.name = f"my {node.name}"
    assert job.result(timeout=PATIENCE) == shown(material)


@pytest.mark.parametrize("gone", ["material", "node"])
def test_a_place_that_was_deleted_meanwhile(sd, painting, textured, gone):
    job = begun(sd, painting, "slot")
    material = textured.active_material
    if gone == "material":
        bpy.data.materials.remove(material)
    else:
        material.node_tree.nodes.remove(next(node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"))
    with pytest.raises(errors.TargetUnusable, match="deleted") as caught:
        job.result(timeout=PATIENCE)
    assert "kept" in caught.value.hint
    assert any(image.use_fake_user and image.packed_file for image in bpy.data.images)


def test_the_scene_deleted_meanwhile(sd, painting, textured):
    job = begun(sd, painting)
    other = bpy.data.scenes.new("second")
    bpy.context.window.scene = other
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    assert job.result(timeout=PATIENCE)[0] in shown(textured.active_material)


@pytest.mark.newest
def test_a_killed_engine_is_reported_and_replaced_and_what_was_finished_is_in_the_history(sd, small, painting):
    job = sd.generate("x", **{**painting, "steps": 100, "count": 3})
    run_until(sd, lambda: job.image >= 2)
    pid = runtime.session._workers[0]._pipeline.pid
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    killed = time.monotonic()
    with pytest.raises(errors.EngineDied):
        job.result(timeout=PATIENCE)
    assert time.monotonic() - killed < 30
    entries = history.history()
    assert entries and entries[-1].seed == 7 and history.open_picture(entries[-1]).packed_file
    assert sd.generate("x", **{**small, "size": (64, 64)}).result(timeout=PATIENCE)


@pytest.mark.parametrize("prompt", ["(((brick", "brick])", "{red|green brick",
                                                           "brick (old:1.", "<lora:brick", "__brick"])
def test_unbalanced_brackets_are_taken_literally(sd, small, prompt):
    job = sd.generate(prompt, **small)
    job.result(timeout=PATIENCE)
    assert job.results[0].request.prompt == prompt and all("read as words" in note for note in job.notes)


SOURCE = np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
MASKS = {  # the note for each, and whether anything is painted
    "of another size": (np.kron(np.eye(4), np.ones((6, 8))) > 0, "brought to the picture's 64 × 48", True),
    "empty": (np.zeros((48, 64), bool), "empty", False),
    "full": (np.ones((48, 64), bool), "", True),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_do_not_fit_are_used_with_a_note(sd, small, name):
    mask, words, painted = MASKS[name]
    job = sd.inpaint(SOURCE, mask, "moss", **small)
    (image,) = job.result(timeout=PATIENCE)
    found = np.rint(np.array(image.pixels[:]).reshape(48, 64, 4)[::-1, :, :3] * 255)
    assert any(words in note for note in job.notes) if words else not job.notes
    assert (not np.array_equal(found, SOURCE)) == painted


def test_a_control_picture_of_another_aspect_is_used_with_a_note(sd, small):
    job = sd.generate("brick", size=(64, 64), controls=[sd.control("depth", np.zeros((32, 96, 3), np.uint8))],
                      **{**small, "model": "starter"})
    job.result(timeout=PATIENCE)
    assert any("another aspect" in note for note in job.notes)
