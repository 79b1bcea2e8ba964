"""An object's maps in its material: every input, one undo step, the base colour's mapping, and what is refused."""
from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import SourceUnusable, TargetUnusable
from blender_sd.core.request import Request
from blender_sd.core.roles import BASE_COLOUR, METALLIC, NON_COLOR, NORMAL, ROUGHNESS, SRGB
from blender_sd.protocol import png_arrays
from blender_sd.protocol.messages import Result
from blender_sd.scene import baking, compat, materials, object_maps, tiles

pytestmark = pytest.mark.bpy

SIDE = 16
INPUTS = {BASE_COLOUR: "Base Color", NORMAL: "Normal", ROUGHNESS: "Roughness", METALLIC: "Metallic"}


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    request = Request.of("texture_object", prompt="rusty iron", width=64, height=64, maps=True, seed=3)
    made = []
    for number, role in enumerate(INPUTS):
        path = tmp_path / f"{number}.png"
        shape = (SIDE, SIDE) if role in (ROUGHNESS, METALLIC) else (SIDE, SIDE, 3)
        deep = role == NORMAL
        with open(path, "wb") as file:
            png_arrays.write(np.full(shape, 40000 if deep else 100 + number, np.uint16 if deep else np.uint8), file)
        made.append(Result(str(path), request, SIDE, SIDE, role=role, made_by="Built In",
                           colour_space=SRGB if role == BASE_COLOUR else NON_COLOR))
    return made


def textures(plan: baking.Plan) -> list:
    return [place.texture for place in plan.places]


def test_every_map_has_its_input_in_one_undo_step(cube, results, monkeypatch):
    pushed: list[str] = []
    monkeypatch.setattr(baking, "push_undo", pushed.append)
    shown, = scene.place_baked(scene.prepare_bake([cube], (SIDE, SIDE)), results, "rusty iron")
    material = cube.active_material
    held = {role: materials.image_in(material, name) for role, name in INPUTS.items()}
    assert held[BASE_COLOUR] == shown and len({*held.values()}) == 4 and pushed == ["SD: rusty iron"]
    assert [image.colorspace_settings.name for image in held.values()] == [SRGB, NON_COLOR, NON_COLOR, NON_COLOR]
    tree = compat.node_tree_of(material)
    reader, = (node for node in tree.nodes if node.type == "NORMAL_MAP")
    assert (reader.space, reader.uv_map) == ("TANGENT", cube.data.uv_layers[0].name)
    assert tree.nodes.active == materials.base_color_node(material)
    again = scene.prepare_bake([cube], (SIDE, SIDE))
    object_maps.check(textures(again))
    scene.place_baked(again, results, "again")
    assert sum(node.type == "TEX_IMAGE" for node in tree.nodes) == 4, "the same nodes hold the new maps"


def test_a_map_whose_file_is_gone_changes_nothing(cube, results):
    Path(results[2].path).unlink()
    before = len(bpy.data.images), len(bpy.data.materials), cube.active_material
    with pytest.raises(SourceUnusable):
        scene.place_baked(scene.prepare_bake([cube], (SIDE, SIDE)), results, "rusty iron")
    assert (len(bpy.data.images), len(bpy.data.materials), cube.active_material) == before


def test_a_job_that_lost_a_map_changes_nothing(cube, results):
    other = cube.copy()
    other.data = cube.data.copy()
    bpy.context.collection.objects.link(other)
    plan = scene.prepare_bake([cube, other], (SIDE, SIDE))
    before = len(bpy.data.images)
    with pytest.raises(SourceUnusable, match="missing"):
        scene.place_baked(plan, [results[0], *results], "rusty iron")  # two base colours, one of all else
    assert len(bpy.data.images) == before and not cube.material_slots


def tile_results(folder: Path, numbers: tuple[int, ...]) -> list[Result]:
    """Maps of tiles, each of its own level."""
    request = Request.of("texture_object", prompt="rusty iron", width=64, height=64, maps=True, seed=3)
    made = []
    for index, role in enumerate(INPUTS):
        for number in numbers:
            path = folder / f"{index}-{number}.png"
            shape = (SIDE, SIDE) if role in (ROUGHNESS, METALLIC) else (SIDE, SIDE, 3)
            level = (number - 1000) * 20 + index
            with open(path, "wb") as file:
                png_arrays.write(np.full(shape, level * 257, np.uint16) if role == NORMAL
                                 else np.full(shape, level, np.uint8), file)
            made.append(Result(str(path), request, SIDE, SIDE, role=role, made_by="Built In",
                               colour_space=SRGB if role == BASE_COLOUR else NON_COLOR))
    return made


@pytest.mark.parametrize("used", [(1001, 1002), (1002, 1003), (1002,)])
def test_maps_of_tiles_become_udim_images(cube, tmp_path, used):
    image = bpy.data.images.new("tiled", SIDE, SIDE, tiled=True)
    for number in (1002, 1003):
        image.tiles.new(number)
    materials.put(image, cube, "Base Color", None)
    layer = cube.data.uv_layers[0]
    for polygon in cube.data.polygons:
        for loop in polygon.loop_indices:
            layer.uv[loop].vector.x = layer.uv[loop].vector.x * 0.9 + 0.05 + used[polygon.index % len(used)] - 1001
    plan = scene.prepare_bake([cube], (SIDE, SIDE))
    assert tuple(place.udim for place in plan.places) == used
    object_maps.check(textures(plan))
    before = len(bpy.data.images)
    scene.place_baked(plan, tile_results(tmp_path, used), "rusty iron")
    assert len(bpy.data.images) == before + 4, "one image of each map, and the former base color"
    material = cube.active_material
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    material = bpy.context.scene.objects["Cube"].active_material
    for index, (role, name) in enumerate(INPUTS.items()):
        held = materials.image_in(material, name)
        assert held.source == "TILED" and held.packed_files, role
        assert held.colorspace_settings.name == (SRGB if role == BASE_COLOUR else NON_COLOR)
        assert set(used) <= {tile.number for tile in held.tiles} and tile_levels(held, used) == [
            (number - 1000) * 20 + index for number in used], role
    bpy.ops.wm.read_factory_settings(use_empty=True)


def tile_levels(image: bpy.types.Image, numbers: tuple[int, ...]) -> list[int]:
    """The first value of each tile, of 255, as its file has it."""
    levels = []
    for number in numbers:
        with tiles.tile_of(image, number) as still:
            levels.append(round(still.pixels[0] * 255))
    return levels


def test_a_mapping_that_leaves_no_area_is_refused(cube):
    image = bpy.data.images.new("before", SIDE, SIDE)
    materials.put(image, cube, "Base Color", None)
    tree = cube.active_material.node_tree
    coordinates, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], materials.base_color_node(cube.active_material).inputs["Vector"])
    mapping.inputs["Rotation"].default_value[2] = 1.0
    object_maps.check(textures(scene.prepare_bake([cube], (SIDE, SIDE))))
    mapping.inputs["Scale"].default_value = (1, 0, 1)
    with pytest.raises(TargetUnusable, match="squashes"):
        object_maps.check(textures(scene.prepare_bake([cube], (SIDE, SIDE))))
