"""Baking onto objects through the public call: real engine, real scene, pictures that Blender itself rendered."""
from __future__ import annotations

import sys

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import GeometryMissing, InvalidRequest, SourceUnusable, TargetUnusable
from blender_sd.scene import compat, marks, materials, tiles
from tests.support.baking import FACES, camera, colour_at, face_towards, flat, shown
from tests.support.calls import PATIENCE

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


def tiled(obj, *others) -> bpy.types.Image:
    """Give objects one material with a UDIM image, and the first object's upper face the second tile. The image."""
    image = bpy.data.images.new("tiled", 64, 64, tiled=True)
    image.tiles.new(1002)
    material = bpy.data.materials.new("tiled")
    for each in (obj, *others):
        each.data.materials.append(material)
    node = compat.node_tree_of(material).nodes.new("ShaderNodeTexImage")
    node.image = image
    shader = material.node_tree.nodes["Principled BSDF"]
    material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    for loop in obj.data.polygons[face_towards(obj, (0, 0, 1))].loop_indices:
        obj.data.uv_layers[0].uv[loop].vector.x += 1
    bpy.context.view_layer.update()
    return image


def tile_colour(image: bpy.types.Image, number: int) -> np.ndarray:
    with tiles.tile_of(image, number) as tile:
        return np.rint(np.array(tile.pixels[:]).reshape(-1, 4).mean(0) * 255)


def test_each_face_gets_what_its_camera_sees(sd, cube):
    pictures = {"front": flat(200, 30, 30), "right": flat(30, 200, 30), "top": flat(30, 30, 200)}
    job = sd.bake(pictures.values(), [camera(name) for name in pictures], [cube], size=(128, 128), harmonise=False)
    (image,) = job.result(PATIENCE)
    assert shown(cube) == image and tuple(image.size) == (128, 128)
    for direction, colour in (((0, -1, 0), (200, 30, 30)), ((1, 0, 0), (30, 200, 30)), ((0, 0, 1), (30, 30, 200))):
        assert np.abs(colour_at(cube, face_towards(cube, direction)) - colour).max() <= 1
    assert not marks.is_marked(image)  # no model had a part in it
    assert marks.facts_of(image).request.task.name == "bake"


def test_what_is_not_seen_keeps_what_it_had(sd, cube):
    before = bpy.data.images.new("before", 64, 64)
    noise = np.random.default_rng(0).integers(0, 256, (64 * 64, 4)) / 255
    noise[:, 3] = 1
    before.pixels = noise.ravel().tolist()
    before.pack()
    sd.apply(before, cube)
    image, = sd.bake([flat(200, 30, 30)], [camera("top")], [cube], fill=False).result(PATIENCE)
    old, new = (np.rint(np.array(one.pixels[:]).reshape(64, 64, 4) * 255) for one in (before, image))
    assert tuple(image.size) == (64, 64) and shown(cube) == image and before.use_fake_user
    assert np.abs(colour_at(cube, face_towards(cube, (0, 0, 1))) - (200, 30, 30)).max() <= 1
    assert 0.3 < (old == new).all(-1).mean() < 0.95  # an island, and the margin round it
    mask = flat(255, 255, 255, side=64)
    locked, = sd.bake([flat(30, 200, 30)], [camera("top")], [cube], fill=False, locked=mask).result(PATIENCE)
    assert np.array_equal(np.array(locked.pixels[:]), np.array(image.pixels[:]))


def test_a_face_is_covered_up_to_its_edges(sd, cube):
    """Where nothing was, and where an image was: at a right angle, no rim of the old colour stays."""
    top = face_towards(cube, (0, 0, 1))
    corners = [cube.data.uv_layers.active.data[index].uv for index in cube.data.polygons[top].loop_indices]
    (left, down), (right, up) = np.min(corners, 0) * 128 + 1, np.max(corners, 0) * 128 - 1
    face = (slice(int(np.ceil(down)), int(up)), slice(int(np.ceil(left)), int(right)))

    def covered(colour: tuple[int, int, int]) -> float:
        image, = sd.bake([flat(*colour)], [camera("top")], [cube], size=(128, 128), fill=False).result(PATIENCE)
        pixels = np.array(image.pixels[:]).reshape(128, 128, 4)[face][..., :3] * 255
        return float((np.abs(pixels - colour).max(-1) <= 2).mean())

    assert covered((200, 30, 30)) == 1
    assert covered((30, 200, 30)) == 1


def test_materials_that_others_use_are_copied_and_linked_duplicates_share(sd, cube):
    material = bpy.data.materials.new("shared")
    cube.data.materials.append(material)
    twin = bpy.data.objects.new("twin", cube.data)
    other = bpy.data.objects.new("other", cube.data.copy())
    twin.location, other.location = (3, 0, 0), (-3, 0, 0)
    for obj in (twin, other):
        bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.update()
    (image,) = sd.bake([flat(200, 30, 30)], [camera("top")], [cube, twin], size=(64, 64)).result(PATIENCE)
    assert shown(cube) == shown(twin) == image
    assert other.material_slots[0].material == material and materials.base_color_node(material) is None
    assert cube.material_slots[0].material != material


def test_each_slot_gets_an_image_in_one_undo_step(sd, cube, monkeypatch):
    steps = []
    monkeypatch.setattr("blender_sd.scene.baking.push_undo", steps.append)
    for name in ("a", "b"):
        cube.data.materials.append(bpy.data.materials.new(name))
    cube.data.polygons[face_towards(cube, (0, 0, 1))].material_index = 1
    images = sd.bake([flat(200, 30, 30), flat(30, 30, 200)], [camera("top"), camera("front")], [cube], size=(64, 64),
                     harmonise=False).result(PATIENCE)
    assert len(images) == 2 and len(steps) == 1
    assert np.abs(colour_at(cube, face_towards(cube, (0, 0, 1)), shown(cube, 1)) - (200, 30, 30)).max() <= 1
    assert np.abs(colour_at(cube, face_towards(cube, (0, -1, 0)), shown(cube, 0)) - (30, 30, 200)).max() <= 1


def test_udim_tiles(sd, cube):
    cube.data.materials.append(bpy.data.materials.new("M"))
    tree = compat.node_tree_of(cube.active_material)
    node = tree.nodes.new("ShaderNodeTexImage")
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
    image = bpy.data.images.new("tiled", 64, 64, tiled=True)
    image.tiles.new(1002)
    node.image = image
    for point in cube.data.uv_layers[0].uv:
        point.vector.x *= 2
    bpy.context.view_layer.update()
    job = sd.bake([flat(200, 30, 30), flat(30, 30, 200)], [camera("top"), camera("front")], [cube], size=(64, 64))
    made = job.result(PATIENCE)
    assert len(job.results) == 2 and shown(cube) in made
    assert shown(cube).source == "TILED" and {tile.number for tile in shown(cube).tiles} == {1001, 1002}


@pytest.mark.parametrize("change", ["rename", "edit", "delete", "file"])
def test_objects_that_change_meanwhile(sd, cube, change):
    job = sd.bake([flat(200, 30, 30)], [camera("top")], [cube], size=(64, 64))
    while not job._owner.waits() and not job.done:
        sd.wait(0.1)
    if change == "rename":
        cube.name = "renamed"
    elif change == "edit":
        cube.data.uv_layers[0].uv[0].vector.x += 0.1
    elif change == "delete":
        bpy.data.objects.remove(cube)
    else:
        bpy.ops.wm.read_homefile(use_empty=True)
    if change == "rename":
        (image,) = job.result(PATIENCE)
        assert shown(bpy.data.objects["renamed"]) == image
        return
    reason = {"edit": "was edited", "delete": "deleted", "file": "Another file"}[change]
    with pytest.raises(TargetUnusable, match=reason):
        job.result(PATIENCE)
    assert job.results[0].path  # it is in the history
    if change != "file":
        assert any(image.name.startswith("Cube baked") and image.use_fake_user for image in bpy.data.images)


def test_a_bake_can_be_cancelled(sd, cube):
    cube.modifiers.new("s", "SUBSURF").levels = 6
    bpy.context.view_layer.update()
    images = len(bpy.data.images)
    job = sd.bake([flat(200, 30, 30)] * 3, [camera(name) for name in FACES], [cube], size=(4096, 4096))
    while not job.step and not job.done:
        sd.wait(0.05)
        sd.pump()
    job.cancel()
    with pytest.raises(Exception, match="cancelled"):
        job.result(PATIENCE)
    assert len(bpy.data.images) == images


def test_bad_input_is_refused_in_words(sd, cube):
    with pytest.raises(InvalidRequest, match="one camera for each|1 pictures and 0 cameras"):
        sd.bake([flat(1, 2, 3)], [], [cube])
    with pytest.raises(TargetUnusable, match="No object"):
        sd.bake([flat(1, 2, 3)], [camera("top")], [])
    with pytest.raises(SourceUnusable, match="not a camera"):
        sd.bake([flat(1, 2, 3)], [cube], [cube])
    away = camera("top")
    away.rotation_euler = (np.pi, 0, 0)
    bpy.context.view_layer.update()
    with pytest.raises(SourceUnusable, match="No picture shows"):
        sd.bake([flat(1, 2, 3)], [away], [cube], size=(64, 64)).result(PATIENCE)
    inside = camera("top")
    inside.location = (0, 0, 0)
    with pytest.raises(SourceUnusable, match="backs|hides"):
        sd.bake([flat(1, 2, 3)], [inside], [cube], size=(64, 64)).result(PATIENCE)
    job = sd.bake([flat(1, 2, 3)] * 2, [camera("top"), away], [cube], size=(64, 64))
    job.result(PATIENCE)
    assert any("picture 2" in note for note in job.notes)


def test_uvs_without_an_area_take_nothing(sd, cube):
    for point in cube.data.uv_layers[0].uv:
        point.vector = (0.5, 0.5)
    with pytest.raises(SourceUnusable, match="No picture shows"):
        sd.bake([flat(1, 2, 3)], [camera("top")], [cube], size=(64, 64)).result(PATIENCE)



def test_a_picture_is_projected_from_a_camera_onto_what_it_sees(sd, cube):
    top = camera("top")
    hidden = bpy.data.objects.new("hidden", cube.data.copy())
    hidden.location = (0, 0, -5)
    bpy.context.collection.objects.link(hidden)
    bpy.context.view_layer.update()
    for obj in (cube, hidden):
        obj.select_set(False)
    job = sd.project(top, flat(200, 30, 30), texture_size=(64, 64))
    job.result(PATIENCE)
    assert np.abs(colour_at(cube, face_towards(cube, (0, 0, 1))) - (200, 30, 30)).max() <= 1
    side = colour_at(cube, face_towards(cube, (0, -1, 0)))
    assert np.abs(side - 231).max() <= 1  # the base colour that it had: 0.8, linear
    assert bpy.context.scene.camera != top


def test_the_render_is_repainted_and_projected(sd, cube, small):
    scene = bpy.context.scene
    scene.camera = camera("front")
    scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "BLENDER_WORKBENCH", 64, 64
    bpy.context.view_layer.update()
    cube.select_set(True)
    job = sd.project("CAMERA", "red brick wall", texture_size=(64, 64), **small)
    (image,) = job.result(PATIENCE)
    assert [result.role for result in job.results] == ["picture", "base colour"]
    assert shown(cube) == image and tuple(image.size) == (64, 64) and marks.is_marked(image)
    pixels = np.array(image.pixels[:]).reshape(64, 64, 4)[..., :3]
    assert (np.abs(pixels - 231 / 255).max(-1) > 0.01).mean() > 0.05
    assert marks.facts_of(image).request.prompt == "red brick wall"


def test_views_that_there_are_not(sd, cube, small):
    bpy.context.scene.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        sd.project("CAMERA", "x", **small)
    with pytest.raises(SourceUnusable, match="cannot be projected"):
        sd.project(cube, "x", **small)


@pytest.mark.parametrize("missing", ["embreex", "scipy"])
def test_inside_blender_without_a_package_one_sentence_names_it(sd, cube, small, monkeypatch, missing):
    pytest.importorskip("diffusers", reason="only where Blender's Python has torch")
    for name in [name for name in sys.modules if name.startswith(("blender_sd.geometry", "blender_sd.engine.tasks.bake",
                                                                  missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    sd.configure(in_thread=True)
    try:
        jobs = [sd.bake([flat(1, 2, 3)], [camera("top")], [cube], size=(64, 64)),
                sd.project(camera("top"), flat(1, 2, 3), objects=[cube])]
        for job in jobs:
            with pytest.raises(GeometryMissing, match=f"The package {missing} is missing"):
                job.result(PATIENCE)
    finally:
        sd.configure(in_thread=False)


def test_the_view_is_inpainted_where_the_objects_are(sd, cube, small):
    scene = bpy.context.scene
    scene.camera = camera("front")
    scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "BLENDER_WORKBENCH", 64, 64
    bpy.context.view_layer.update()
    job = sd.project("CAMERA", "red brick wall", objects=[cube], mask="OBJECTS", texture_size=(64, 64), **small)
    (image,) = job.result(PATIENCE)
    assert job.request.task.name == "inpaint" and [result.role for result in job.results] == ["picture", "base colour"]
    picture = bpy.data.images.load(job.results[0].path)
    painted = np.rint(np.array(picture.pixels[:]).reshape(64, 64, 4)[::-1, :, :3] * 255)
    assert len(np.unique(painted[:8].reshape(-1, 3), axis=0)) <= 8  # above the cube, the background of the render
    assert len(np.unique(painted[24:40, 24:40].reshape(-1, 3), axis=0)) > 50
    assert shown(cube) == image
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    half = sd.project("CAMERA", "red brick wall", objects=[cube], mask=mask, texture_size=(64, 64), **small)
    half.result(PATIENCE)
    assert half.request.task.name == "inpaint"
    hidden = bpy.data.objects.new("hidden", cube.data)
    hidden.location = (0, 30, 0)
    bpy.context.collection.objects.link(hidden)
    bpy.context.view_layer.update()
    with pytest.raises(SourceUnusable, match="None of the objects is seen"):
        sd.project("CAMERA", "x", objects=[hidden], mask="OBJECTS", **small)
    with pytest.raises(InvalidRequest, match="'mask' changes nothing"):
        sd.project("CAMERA", flat(1, 2, 3), objects=[cube], mask="OBJECTS")


def test_previews_are_laid_on_the_faces_that_the_view_sees(sd, cube):
    from blender_sd import scene
    from blender_sd.scene import projecting

    seen = camera("front")
    bpy.context.view_layer.update()
    lens = scene.cameras_of([seen], [(64, 64)])[0]
    (surface,) = scene.preview_faces(scene.prepare_bake([cube], (64, 64)), lens)
    assert surface.find() == cube and np.allclose(surface.normals, (0, -1, 0), atol=1e-6)
    assert np.allclose(surface.corners[:, 1], -1)
    local = projecting._through_lens(surface.corners[None].astype(float), np.array(cube.matrix_world), lens)
    assert np.allclose(projecting._pixels(local, lens)[0], surface.uvs, atol=1e-5)
    size = np.ptp(surface.uvs.reshape(-1, 3, 2), axis=1).max()
    assert size < projecting._LONGEST + 1e-5 and 0 <= surface.uvs.min() and surface.uvs.max() <= 1
    area = np.linalg.norm(np.cross(*(surface.corners.reshape(-1, 3, 3)[:, k] - surface.corners.reshape(-1, 3, 3)[:, 0]
                                     for k in (1, 2))), axis=1).sum() / 2
    assert abs(area - 4) < 1e-4  # all of the face, once


def test_a_preview_close_up_costs_no_more_than_what_is_in_the_picture(sd, monkeypatch):
    from blender_sd import scene
    from blender_sd.scene import projecting

    bpy.ops.mesh.primitive_grid_add(x_subdivisions=60, y_subdivisions=60, size=2)
    grid = bpy.context.object
    seen = camera("top", 0.005)  # less than a face is in the picture
    bpy.context.view_layer.update()
    divided = []
    quartered = projecting._quartered
    monkeypatch.setattr(projecting, "_quartered", lambda corners: divided.append(len(corners)) or quartered(corners))
    lens = scene.cameras_of([seen], [(64, 64)])[0]
    assert scene.preview_faces(scene.prepare_bake([grid], (64, 64)), lens)
    assert 0 < max(divided) < 1000


def test_all_tiles_go_into_one_image_in_the_copy_of_a_material_that_others_use(sd, cube):
    other = bpy.data.objects.new("other", cube.data.copy())
    other.location = (0, 0, -9)
    bpy.context.collection.objects.link(other)
    before = tiled(cube, other)
    images, used = set(bpy.data.images), set(bpy.data.materials)
    job = sd.bake([flat(200, 30, 30)] * 3, [camera(name) for name in FACES], [cube], size=(64, 64))
    job.result(PATIENCE)
    after = shown(cube)
    assert job.outputs == [after] and set(bpy.data.images) - images == {after}
    assert set(bpy.data.materials) - used == {cube.active_material}
    assert shown(other) == before
    for number in (1001, 1002):
        assert tile_colour(before, number)[0] == 0 and tile_colour(after, number)[0] > 190
