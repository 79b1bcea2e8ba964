"""Masks of regions: from Cryptomatte, from our own outlines, on textures; and the note where a thing is missing."""
from __future__ import annotations

import math

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd.core.errors import InvalidRequest, SDError, SourceUnusable
from blender_sd.core.regions import Region
from blender_sd.library.png import grey_png
from blender_sd.protocol import exr_files
from blender_sd.protocol.messages import Source
from blender_sd.scene import compat, mattes, regions, renders

SIDE = 48


def values(mask):
    """The coverage in a mask that was opened, H×W, 0 to 1."""
    made = mask() if callable(mask) else mask
    image = regions.mask_image("test", made)
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, -1)[::-1, :, 0]


@pytest.fixture
def room(camera_scene):
    """A cube of the material Wood before a wall of Wood and a ball of Gold, the last two in the collection Set."""
    scene = camera_scene(SIDE)
    cube = bpy.context.object
    group = bpy.data.collections.new("Set")
    scene.collection.children.link(group)
    wood, gold = bpy.data.materials.new("Wood"), bpy.data.materials.new("Gold")
    cube.data.materials.append(wood)
    bpy.ops.mesh.primitive_plane_add(size=40, location=(0, 6, 0), rotation=(math.pi / 2, 0, 0))
    wall = bpy.context.object
    wall.name = "Wall"
    wall.data.materials.append(wood)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.6, location=(-1.6, 0, 1.2))
    ball = bpy.context.object
    ball.name = "Ball"
    ball.data.materials.append(gold)
    for thing in (wall, ball):
        scene.collection.objects.unlink(thing)
        group.objects.link(thing)
    scene.cycles.samples = 16
    return scene


def opened(given, source="CAMERA", size=(SIDE, SIDE)):
    pairs = [(region, None) for region in given]
    regions.check_regions(pairs, source)
    return [values(mask) for mask in regions.open_regions(pairs, source, size)]


def test_objects_before_materials_before_collections_and_together_each_pixel_once(room):
    cube, wood, group = opened([Region("object", "Cube"), Region("material", "Wood"), Region("collection", "Set")])
    assert cube.max() == 1 and 0.1 < cube.mean() < 0.6 and ((cube > 0) & (cube < 1)).any()
    assert wood[cube == 1].max() == 0 and wood[:2].min() > 0.98  # the wall's wood, but not the cube's
    ball, = opened([Region("object", "Ball")])
    assert np.abs(group - ball).max() < 0.03  # the wall is Wood's
    assert np.abs(cube + wood + group - 1).max() < 0.06


def test_a_render_with_cryptomatte_is_read_and_our_own_outlines_agree(room):
    own, = opened([Region("object", "Cube")])
    assert mattes.of_render(room, (mattes.OBJECTS,)) is None
    before = {name: getattr(room.view_layers[0], name) for name in renders._MATTES}
    renders.render_camera(room, mattes=True)
    assert {name: getattr(room.view_layers[0], name) for name in renders._MATTES} == before
    found = mattes.of_render(room, (mattes.OBJECTS, mattes.MATERIALS))
    assert found.size == (SIDE, SIDE) and {"Cube", "Wall", "Ball", "Wood", "Gold"} <= found.names
    read, = opened([Region("object", "Cube")], "RENDER")
    assert np.array_equal(read == 1, own == 1) or np.abs(read - own).mean() < 0.01
    room.cycles.samples = 1
    room.camera.data.dof.use_dof, room.camera.data.dof.focus_distance = True, 1.0
    room.camera.data.dof.aperture_fstop = 0.1
    room.cycles.samples = 16
    renders.render_camera(room, mattes=True)
    blurred, = opened([Region("object", "Cube")], "RENDER")
    assert ((blurred > 0.05) & (blurred < 0.95)).sum() > 3 * ((own > 0.05) & (own < 0.95)).sum()


def test_the_file_and_its_settings_stay_as_they_were(room):
    settings = room.render.image_settings
    before = (settings.file_format, settings.color_depth, room.render.engine, room.cycles.samples,
              set(bpy.data.scenes.keys()), set(bpy.data.objects.keys()), set(bpy.data.materials.keys()))
    renders.render_camera(room, mattes=True)
    opened([Region("material", "Gold")], "RENDER")
    opened([Region("material", "Gold")])
    assert before == (settings.file_format, settings.color_depth, room.render.engine, room.cycles.samples,
                      set(bpy.data.scenes.keys()), set(bpy.data.objects.keys()), set(bpy.data.materials.keys()))


@pytest.mark.parametrize("codec", ["NONE", "ZIPS", "ZIP"])
def test_a_file_with_cryptomatte_needs_no_scene(room, tmp_path, codec):
    layer = room.view_layers[0]
    layer.use_pass_cryptomatte_object = layer.use_pass_cryptomatte_material = True
    compat.multilayer_settings(room.render.image_settings)
    room.render.image_settings.exr_codec = codec
    room.render.filepath = str(tmp_path / "shot.exr")
    bpy.ops.render.render(write_still=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    path = str(tmp_path / "shot.exr")
    cube, gold = opened([Region("object", "Cube"), Region("material", "Gold")], path)
    assert cube.max() == 1 and gold.max() > 0.9 and (cube * gold).max() < 0.3
    with pytest.raises(SourceUnusable, match="no object called 'Cup'"):
        opened([Region("object", "Cup")], path)


def test_a_files_pixels_are_read_on_the_thread_that_wants_its_masks(room, tmp_path):
    room.view_layers[0].use_pass_cryptomatte_object = True
    compat.multilayer_settings(room.render.image_settings)
    room.render.filepath = str(tmp_path / "shot.exr")
    bpy.ops.render.render(write_still=True)
    path, pair = tmp_path / "shot.exr", (Region("object", "Cube"), None)
    regions.check_regions([pair], str(path))
    mask, = regions.open_regions([pair], str(path), (SIDE, SIDE))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceUnusable, match="can no longer be read"):
        mask()


def test_damaged_files_are_no_crash(room, tmp_path):
    path = tmp_path / "shot.exr"
    path.write_bytes(b"v/1\x01\x02\0\0\0nonsense")
    with pytest.raises(InvalidRequest, match="no scene"):
        opened([Region("object", "Cube")], str(path))
    with pytest.raises(ValueError):
        exr_files.read_passes(path.read_bytes())
    room.view_layers[0].use_pass_cryptomatte_object = True
    compat.multilayer_settings(room.render.image_settings)
    room.render.image_settings.exr_codec = "ZIP"
    room.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    sound = path.read_bytes()
    assert mattes.of_file(str(path)).has(mattes.OBJECTS)
    random = np.random.default_rng(1)
    for end in (3000, len(sound)) * 30:
        damaged = np.frombuffer(sound, np.uint8).copy()
        damaged[random.integers(4, end, 8)] = random.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        try:  # some of it may still be readable
            opened([Region("object", "Cube")], str(path))
        except SDError:
            pass


def test_hidden_outside_and_covered_things_have_an_empty_mask(room):
    cube = bpy.data.objects["Cube"]
    cube.hide_render = True
    hidden, = opened([Region("object", "Cube")])
    cube.hide_render, cube.location.x = False, 100
    outside, = opened([Region("object", "Cube")])
    cube.location = (0, 20, 0)
    covered, = opened([Region("object", "Cube")])
    assert not hidden.any() and not outside.any() and not covered.any()


def test_renamed_and_deleted_things_are_named_before_anything_is_rendered(room):
    bpy.data.objects["Cube"].name = "Cubes"
    for given, meant in ((Region("object", "Cube"), "Cubes"), (Region("material", "Wod"), "Wood")):
        with pytest.raises(SourceUnusable, match="There is no") as refused:
            sd.restyle("CAMERA", "x", regions=[(given, None)])
        assert meant in refused.value.hint
    assert not any(image.type == "RENDER_RESULT" and image.has_data for image in bpy.data.images)


def test_instances_belong_to_what_shows_them(room):
    cube = bpy.data.objects["Cube"]
    hidden = bpy.data.collections.new("Hidden")
    hidden.objects.link(cube)
    room.collection.objects.unlink(cube)
    empty = bpy.data.objects.new("Shown", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", hidden
    room.collection.objects.link(empty)
    shown, = opened([Region("object", "Shown")])
    assert shown.max() == 1


def test_workbench_knows_materials_too(room):
    room.render.engine = "BLENDER_WORKBENCH"
    gold, = opened([Region("material", "Gold")])
    assert gold.max() == 1


def texture():
    """A plane whose left half is Wood and whose right half is Gold, both with one image."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=2, y_subdivisions=1)
    plane = bpy.context.object
    image = bpy.data.images.new("Atlas", 32, 16)
    for name in ("Wood", "Gold"):
        material = bpy.data.materials.new(name)
        node = compat.node_tree_of(material).nodes.new("ShaderNodeTexImage")
        node.image = image
        material.node_tree.links.new(node.outputs["Color"], material.node_tree.nodes["Principled BSDF"].inputs[0])
        plane.data.materials.append(material)
    middle = [sum(plane.data.vertices[index].co.x for index in face.vertices) for face in plane.data.polygons]
    for face, where in zip(plane.data.polygons, middle, strict=True):
        face.material_index = int(where > 0)
    return image, plane


def test_on_a_texture_a_material_is_the_uv_area_of_its_faces():
    image, plane = texture()
    wood, gold, all_of_it = opened([Region("material", "Wood"), Region("material", "Gold"),
                                    Region("object", plane.name)], image, (32, 16))
    assert (wood[:, :15] == 1).all() and not wood[:, 17:].any() and (gold[:, 17:] == 1).all()
    assert (all_of_it == 1).all()
    for face in plane.data.polygons:
        face.select = face.material_index == 1
    faces, = opened([Region("faces")], image, (32, 16))
    assert (faces[:, 17:] == 1).all() and not faces[:, :14].any()


def test_names_need_a_scene_and_faces_a_texture(room):
    for given, source, words in ((Region("object", "Cube"), np.zeros((16, 16, 3), np.uint8), "no scene"),
                                 (Region("collection", "Set"), "shot.exr", "no scene"),
                                 (Region("faces"), "CAMERA", "texture"), (Region("object", "Cube"), None, "no scene")):
        with pytest.raises(SDError, match=words):
            regions.check_regions([(given, None)], source)


def test_region_takes_datablocks_names_and_one_thing_only(room):
    assert sd.region(bpy.data.objects["Cube"], keep=True) == sd.region("Cube", keep=True)
    assert sd.region(material=bpy.data.materials["Wood"])[0] == Region("material", "Wood")
    assert sd.region(collection="Set", prompt="x", strength=0.3)[0] == Region("collection", "Set", prompt="x",
                                                                              strength=0.3)
    for wrong in ({}, {"material": "Wood", "mask": np.zeros((4, 4))}):
        with pytest.raises(InvalidRequest, match="one thing"):
            sd.region(**wrong)
    with pytest.raises(InvalidRequest, match="Strength"):
        sd.region("Cube", strength=2.0)
    with pytest.raises(InvalidRequest, match="Feather"):
        sd.region("Cube", keep=True, feather=-1)


def test_a_mask_as_an_image(room):
    image = sd.region_mask(sd.region("Cube"))
    assert tuple(image.size) == (SIDE, SIDE) and image.packed_file is not None and "Cube" in image.name


def test_the_grey_picture_that_masks_travel_as():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert np.allclose(values(Source(encoded=grey_png(4, 3, grey.tobytes()))) * 255, grey, atol=0.6)
