"""Surfaces of a frame as its render sees them, and their one order for all frames of a shot."""
from __future__ import annotations

import json

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from blender_sd.core.errors import SourceUnusable
from blender_sd.scene.frame_surfaces import surfaces_of_frame
from blender_sd.scene.shot_layout import ShotLayout


def test_modifiers_count_as_they_are_rendered_and_hidden_objects_do_not(camera_scene):
    scene = camera_scene(64)
    cube = bpy.context.object
    modifier = cube.modifiers.new("s", "SUBSURF")
    modifier.levels, modifier.render_levels = 0, 2
    bpy.ops.mesh.primitive_ico_sphere_add()
    bpy.context.object.hide_render = True
    bpy.ops.mesh.primitive_ico_sphere_add()
    bpy.context.object.visible_camera = False
    engine = scene.render.engine
    part, = surfaces_of_frame(scene).parts
    assert len(part.vertices) == 98 and part.key == part.name == cube.name
    assert scene.render.engine == engine and not hasattr(bpy.types, "SD_READ_SURFACES")


def test_the_frame_is_the_current_one_with_its_drivers(camera_scene):
    scene = camera_scene(64)
    cube = bpy.context.object
    driver = cube.driver_add("location", 0).driver
    driver.expression = "frame / 2"
    for frame in (2, 8):
        scene.frame_set(frame)
        part, = surfaces_of_frame(scene).parts
        assert np.allclose(part.vertices[:, 0].mean(), frame / 2)


def test_instances_keep_their_names_while_others_vanish(camera_scene):
    scene = camera_scene(64)
    cube = bpy.context.object
    group = bpy.data.collections.new("group")
    for owner in list(cube.users_collection):
        owner.objects.unlink(cube)
    group.objects.link(cube)
    for number in range(3):
        empty = bpy.data.objects.new(f"E{number}", None)
        empty.instance_type, empty.instance_collection, empty.location.x = "COLLECTION", group, number
        scene.collection.objects.link(empty)
    before = {part.key: part.vertices for part in surfaces_of_frame(scene).parts}
    assert len(before) == 3
    bpy.data.objects["E0"].hide_render = True
    after = surfaces_of_frame(scene).parts
    assert len(after) == 2 and all(np.array_equal(before[part.key], part.vertices) for part in after)


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_the_lens_shows_points_where_the_render_has_them(camera_scene, kind):
    scene = camera_scene(96)
    scene.render.resolution_y, scene.render.pixel_aspect_x = 64, 1.5
    camera = scene.camera
    camera.data.type, camera.data.ortho_scale = kind, 6
    camera.data.shift_x, camera.data.shift_y = 0.1, -0.2
    render = scene.render
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0.25, 1.0
    lens = surfaces_of_frame(scene).lens
    assert (lens.width, lens.height) == (48, 48)
    for point in ((0, 0, 0), (1, -1, 1), (-1, -1, 0.5)):
        seen = world_to_camera_view(scene, camera, Vector(point))
        right, up, depth = np.reshape(lens.axes, (3, 3)) @ (np.array(point) - lens.origin)
        across = depth if lens.perspective else 1
        x, y = lens.scale_x * right / across + lens.centre_x, lens.centre_y - lens.scale_y * up / across
        assert np.allclose((x, y), (seen.x * 96 - 24, (1 - seen.y) * 64), atol=1e-3)


def test_no_camera_and_panoramas_are_refused(camera_scene):
    scene = camera_scene(64)
    scene.camera.data.type = "PANO"
    with pytest.raises(SourceUnusable, match="panoramic"):
        surfaces_of_frame(scene)
    scene.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        surfaces_of_frame(scene)
    assert scene.render.engine == "CYCLES"


def test_objects_that_appear_and_vanish_keep_their_places(camera_scene):
    scene = camera_scene(64)
    cube = bpy.context.object
    bpy.ops.mesh.primitive_ico_sphere_add(location=(3, 0, 0))
    ball = bpy.context.object
    layout, ball.hide_render = ShotLayout(), True
    first = layout.place(surfaces_of_frame(scene).parts)
    before = layout.digest
    ball.hide_render, cube.location.z = False, 1
    second = layout.place(surfaces_of_frame(scene).parts)
    cube.hide_render = True
    third = layout.place(surfaces_of_frame(scene).parts)
    assert layout.digest != before and layout.names == [cube.name, ball.name]
    padded = layout.padded(first)
    assert padded.shape == second.shape == third.shape
    triangles, numbers = layout.topology()
    assert np.allclose(second[:8, 2] - padded[:8, 2], 1) and set(numbers.tolist()) == {0, 1}
    for vertices, absent in ((padded, 1), (third, 0)):
        flat = np.cross(*(vertices[triangles[:, corner]] - vertices[triangles[:, 0]] for corner in (1, 2)))
        assert (np.linalg.norm(flat, axis=1) > 0).tolist() == (numbers != absent).tolist()


def test_a_deforming_mesh_keeps_its_triangles_and_another_mesh_gets_its_own(camera_scene):
    scene = camera_scene(64)
    mesh = bpy.context.object.data
    layout = ShotLayout()
    layout.place(surfaces_of_frame(scene).parts)
    before = layout.digest
    mesh.vertices[0].co = mesh.vertices[7].co * 0.9  # concave: Blender divides its faces in another way
    layout.place(surfaces_of_frame(scene).parts)
    assert layout.digest == before
    bpy.context.object.modifiers.new("s", "SUBSURF").render_levels = 1
    layout.place(surfaces_of_frame(scene).parts)
    assert layout.digest != before and layout.names == ["Cube"] and layout.vertices == 8 + 26


def test_a_mesh_that_changes_all_the_time_is_named_and_takes_no_more_room(camera_scene):
    scene = camera_scene(64)
    array = bpy.context.object.modifiers.new("a", "ARRAY")
    layout = ShotLayout()
    for count in range(1, 20):
        array.count = count
        layout.place(surfaces_of_frame(scene).parts)
    assert layout.unstable == {"Cube"} and layout.vertices == 8 * sum(range(1, 9))


def test_a_layout_comes_back_from_its_text(camera_scene):
    scene = camera_scene(64)
    bpy.ops.mesh.primitive_ico_sphere_add(location=(3, 0, 0))
    layout = ShotLayout()
    parts = surfaces_of_frame(scene).parts
    vertices = layout.place(parts)
    again = ShotLayout.from_json(layout.to_json(), layout.topology()[0])
    assert again.digest == layout.digest and np.array_equal(again.topology()[0], layout.topology()[0])
    assert np.array_equal(again.place(parts), vertices) and again.digest == layout.digest
    broken = ["{}", "[]", "not json", '{"names": [], "unstable": [], "entries": [{"key": 1}]}']
    for name, value in (("vertices", 1 << 60), ("vertices", -1), ("triangles", 10 ** 9), ("number", 99), ("key", 5)):
        raw = json.loads(layout.to_json())
        raw["entries"][0][name] = value
        broken.append(json.dumps(raw))
    for text in broken:
        with pytest.raises(ValueError):
            ShotLayout.from_json(text, layout.topology()[0])
