"""What happens to files, folders and the engine under a running job, with a real engine. `scripts/bench.py faults` tries far more."""
from __future__ import annotations

import os
import shutil
import signal

import bpy
import numpy as np
import pytest
from conftest import PATIENCE, pixels, run_until

from blender_sd import scene
from blender_sd.protocol import errors


@pytest.fixture
def textured(cube):
    """The cube with a texture, which the target `slot` then means."""
    scene.apply_image(bpy.data.images.new("rough wood", 8, 8), cube)
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="prepared")
    return cube


def begun(sd, painting, kind="material", **settings):
    """A job for the target `kind` that is being painted."""
    job = sd.generate("red brick", **{**painting, "steps": 200, **settings}, target=scene.freeze_target(bpy.context, kind))
    run_until(sd, lambda: job.step > 0)
    return job


def shown(material) -> list[bpy.types.Image]:
    return [node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]


def test_a_picture_whose_folder_is_gone_is_in_the_open_file(sd, painting, cube):
    folder = sd.output_folder()
    job = begun(sd, painting)
    shutil.rmtree(folder)
    image, = job.result(timeout=PATIENCE)
    assert job.results[0].path == "" and image.packed_file and sd.recall(image) == job.results[0].request
    assert "open file" in "".join(job.notes)
    assert image in shown(cube.active_material)
    again, = sd.generate("red brick", **{**painting, "steps": 200}).result(timeout=PATIENCE)  # the folder is made anew
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
    assert [entry.path for entry in sd.past.history()] == [job.results[0].path]
    assert sd.past.open_picture(job.results[0].path).packed_file


def test_everything_renamed_meanwhile(sd, painting, textured):
    job = begun(sd, painting, "slot")
    material = textured.active_material
    textured.name, material.name, bpy.data.images["rough wood"].name, bpy.context.scene.name = "house", "walls", "stone", "shot 20"
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
    with pytest.raises(errors.TargetUnusable, match="deleted") as told:
        job.result(timeout=PATIENCE)
    assert "kept" in told.value.hint
    assert any(image.use_fake_user and image.packed_file for image in bpy.data.images)


def test_the_scene_deleted_meanwhile(sd, painting, textured):
    job = begun(sd, painting)
    other = bpy.data.scenes.new("second")
    bpy.context.window.scene = other
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    assert job.result(timeout=PATIENCE)[0] in shown(textured.active_material)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_finished_pictures_of_a_job_that_dies_are_in_the_history(sd, painting):
    job = sd.generate("red brick", **{**painting, "steps": 60, "count": 3})
    run_until(sd, lambda: job.image >= 2)
    os.kill(sd._session._worker._pipeline.pid, signal.SIGKILL)
    with pytest.raises(errors.EngineDied):
        job.result(timeout=PATIENCE)
    entries = sd.past.history()
    assert [entry.seed for entry in reversed(entries)] == [7, 8][: len(entries)] and entries
    assert sd.past.open_picture(entries[-1]).packed_file
