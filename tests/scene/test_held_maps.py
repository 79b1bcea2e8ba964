"""What an object's maps hold, for jobs that keep a part of it: images, values, tiles, and what is refused."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import TargetUnusable
from blender_sd.protocol import light
from blender_sd.scene import compat, materials

pytestmark = pytest.mark.bpy

SIDE = 16


def image_of(level: float, deep: bool = False, name: str = "map") -> bpy.types.Image:
    image = bpy.data.images.new(name, SIDE, SIDE, float_buffer=deep, is_data=True)
    image.pixels.foreach_set(np.tile(np.array([level, level, level, 1], np.float32), SIDE * SIDE))
    image.update()
    return image


@pytest.fixture
def shader(cube) -> bpy.types.ShaderNode:
    """The shader of the cube, which has a base colour."""
    materials.put(bpy.data.images.new("base", SIDE, SIDE), cube, "Base Color", None)
    return next(node for node in cube.active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def held(cube) -> dict:
    maps = scene.prepare_bake([cube], (SIDE, SIDE)).existing_maps()
    return {role: source() if callable(source) else source for role, source in maps.items()}


def test_an_object_without_a_material_has_no_maps(cube):
    assert held(cube) == {}


def test_values_are_held_as_pictures_of_one_value(cube, shader):
    shader.inputs["Roughness"].default_value, shader.inputs["Metallic"].default_value = 0.2, 1.0
    maps = held(cube)
    assert sorted(maps) == ["metallic0", "roughness0"], "normals are plain"
    assert set(np.unique(maps["roughness0"].pixels[..., :3])) == {51} and maps["metallic0"].pixels.min() == 255


def test_images_are_held_in_their_own_depth(cube, shader):
    materials.put(image_of(0.25), cube, "Roughness", None, own=True)
    materials.put(image_of(0.123456, deep=True), cube, "Normal", None, own=True)
    maps = held(cube)
    assert (maps["roughness0"].pixels[..., 0] == 64).all()
    deep = light.read(maps["normal0"].encoded)
    assert deep.bits == light.SIXTEEN and np.abs(deep.values[..., :3] - 0.123456).max() < 1e-6
    assert (deep.values[..., 3] == 1).all()


def test_images_without_uvs_are_not_held(cube, shader):
    materials.put(image_of(0.25), cube, "Roughness", None, own=True)
    cube.data.uv_layers.remove(cube.data.uv_layers[0])
    assert sorted(held(cube)) == ["metallic0"]


def mix_in(tree, socket):
    source = socket.links[0].from_socket
    curve = tree.nodes.new("ShaderNodeMath")
    tree.links.new(source, curve.inputs[0])
    tree.links.new(curve.outputs[0], socket)


def strengthen(tree, _socket):
    next(node for node in tree.nodes if node.type == "NORMAL_MAP").inputs["Strength"].default_value = 0.5


def bump(tree, socket):
    tree.links.new(tree.nodes.new("ShaderNodeBump").outputs[0], socket)


def scale(tree, socket):
    node = next(node for node in tree.nodes if node.type == "TEX_IMAGE" and node.image.name.startswith("map"))
    mapping, coordinates = tree.nodes.new("ShaderNodeMapping"), tree.nodes.new("ShaderNodeTexCoord")
    mapping.inputs["Scale"].default_value = (2, 2, 2)
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], node.inputs["Vector"])


def as_colour(tree, socket):
    node = next(node for node in tree.nodes if node.type == "TEX_IMAGE" and node.image.name.startswith("map"))
    node.image.colorspace_settings.name = "sRGB"


@pytest.mark.parametrize(("slot", "change"), [
    ("Roughness", mix_in), ("Normal", strengthen), ("Normal", bump), ("Metallic", scale), ("Roughness", as_colour)])
def test_a_map_that_is_more_than_one_image_is_refused_by_its_input(cube, shader, slot, change):
    materials.put(image_of(0.5), cube, slot, None, own=True)
    assert held(cube)
    tree = compat.node_tree_of(cube.active_material)
    change(tree, shader.inputs[slot])
    with pytest.raises(TargetUnusable, match=f"'{slot}'"):
        held(cube)
