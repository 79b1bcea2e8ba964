"""Control pictures of the scene: exact where the geometry is known, in each convention, and the scene is left as it
was."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from benches import control as bench

from blender_sd.core.errors import SourceUnusable
from blender_sd.scene import control, geometry


def test_depth_normals_and_lines_match_the_analytic_answer():
    found = bench.measure()
    assert found["depth_error"] < 0.005 and found["view_depth_error"] < 0.005 and found["normal_error_deg"] < 1
    assert found["lines_found"] > 0.98 and found["lines_false"] < 0.02


def test_lights_materials_and_settings_do_not_matter_and_stay():
    scene = bench.build(bpy)
    before = geometry.look(scene, (64, 48))
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "AREA"))
    lamp.location, lamp.rotation_euler, lamp.data.size = (0.0, 2.0, 0.0), (-1.57, 0, 0), 0.2
    scene.collection.objects.link(lamp)
    scene.render.engine, scene.render.resolution_x, scene.render.filepath = "BLENDER_WORKBENCH", 77, "//out"
    scene.view_settings.exposure, scene.render.film_transparent = 3.0, False
    names = {
        block: set(getattr(bpy.data, block).keys())
        for block in ("scenes", "materials", "images", "worlds", "collections")}
    depth, _, objects = geometry.look(scene, (64, 48))
    seen = np.isfinite(depth)
    assert seen.mean() > 0.9 and np.array_equal(depth[seen], before.depth[seen]) and np.array_equal(
        objects[seen], before.objects[seen])
    assert (scene.render.engine, scene.render.resolution_x, scene.render.filepath) == ("BLENDER_WORKBENCH", 77, "//out")
    assert not scene.render.film_transparent and bpy.context.view_layer.material_override is None
    assert names == {block: set(getattr(bpy.data, block).keys()) for block in names}


def test_conventions():
    depth = np.float32([[1, 2], [4, np.inf]])
    grey = control.depth_picture(depth)[..., 0]
    # linear in 1/distance
    assert grey[0, 0] == 255 and grey[1, 1] == 0 and grey[1, 0] == 1 and grey[0, 1] == round(1 + 254 / 3)
    assert (control.depth_picture(np.full(
        (2, 2), 3, np.float32)) == 255).all() and not control.depth_picture(depth + np.inf).any()
    normals = control.normal_picture(np.float32([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]]))[0]
    assert normals.tolist() == [[255, 128, 128], [128, 255, 128], [128, 128, 255], [128, 128, 255]]
    colours = control.segmentation_picture(np.float32([[0, 0.3, 0.31, 1, 2]]))[0]
    assert not colours[0].any() and len({tuple(colour) for colour in colours.tolist()}) == 5


def test_pass_indices_name_objects():
    scene = bench.build(bpy)
    for number, obj in enumerate(obj for obj in scene.objects if obj.type == "MESH"):
        obj.pass_index = number + 3
    assert set(np.unique(geometry.look(scene, (64, 48)).objects)) == {3, 4, 5}


def test_lines_of_a_cube_have_its_creases():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_cube_add(rotation=(0.5, 0.3, 0.6))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 8)
    scene.collection.objects.link(camera)
    scene.camera = camera
    lines = control.control_source("lines", scene, (96, 96))().pixels[..., 0] > 0
    depth = geometry.look(scene, (96, 96)).depth
    assert 100 < lines.sum() < 0.2 * lines.size
    inside = np.isfinite(depth)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inside &= np.roll(np.isfinite(depth), step, axis)
    assert (lines & inside).sum() > 40, "three edges meet in the cube's middle"


def test_without_a_camera_or_of_an_unknown_kind():
    scene = bench.build(bpy)
    with pytest.raises(SourceUnusable, match="cannot be drawn"):
        control.control_source("canny", scene, (64, 48))
    scene.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        control.control_source("depth", scene, (64, 48))
