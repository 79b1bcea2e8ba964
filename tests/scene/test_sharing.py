"""One image node that several inputs of a material read: a new picture for one of them leaves those that read it
differently as they are.
"""
from __future__ import annotations

from collections.abc import Callable

import bpy
import pytest

from blender_sd import scene as room
from blender_sd.core.errors import TargetUnusable
from blender_sd.scene import shaders
from blender_sd.scene.shaders import Place
from tests.support.textures import GREEN, base, plain, texture, tree  # noqa: F401  (a fixture)



def through(kind: str, to: int | str = 0,
            out: int = 0) -> Callable[[bpy.types.NodeTree, bpy.types.NodeSocket], bpy.types.NodeSocket]:
    def build(tree: bpy.types.NodeTree, socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        node = tree.nodes.new(kind)
        tree.links.new(socket, node.inputs[to])
        return node.outputs[out]
    return build


reroute = through("NodeReroute")
curves = through("ShaderNodeRGBCurve", "Color")
hue = through("ShaderNodeHueSaturation", "Color")
ramp = through("ShaderNodeValToRGB")
normal_map = through("ShaderNodeNormalMap", "Color")


def straight(tree: bpy.types.NodeTree, socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    return socket


def in_a_group(tree: bpy.types.NodeTree, socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    group = bpy.data.node_groups.new("Adjust", "ShaderNodeTree")
    group.interface.new_socket("Picture", in_out="INPUT", socket_type="NodeSocketColor")
    group.interface.new_socket("Result", in_out="OUTPUT", socket_type="NodeSocketColor")
    start, end = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    group.links.new(curves(group, start.outputs[0]), end.inputs[0])
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    tree.links.new(socket, node.inputs[0])
    return node.outputs[0]


def pictures(tree: bpy.types.NodeTree) -> dict[str, str]:
    """The name of the image that each input of the shader shows."""
    nodes = {
        item.name: shaders.route_to(Place(item)).node for item in tree.nodes["Principled BSDF"].inputs
        if item.is_linked}
    return {name: node.image.name for name, node in nodes.items()}


WAYS = {"straight": straight, "reroute": reroute, "curves": curves, "ramp": ramp, "group": in_a_group}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slot", ["Base Color", "Roughness"])
def test_a_colour_and_data_of_one_node_part(cube, tree, way: str, slot: str) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    tree.links.new(node.outputs[0], base(tree))
    tree.links.new(WAYS[way](tree, node.outputs[0]), shader.inputs["Roughness"])
    between = len(tree.nodes)
    room.apply_image(plain(GREEN, "new"), cube, slot)
    other = "Roughness" if slot == "Base Color" else "Base Color"
    assert pictures(tree) == {slot: "new", other: "old"}
    assert len(tree.nodes) == between + 1, "what only one of them goes through stays"


@pytest.mark.parametrize("way", [reroute, hue])
@pytest.mark.parametrize("slot", ["Base Color", "Roughness"])
def test_what_both_go_through_stays_with_the_other(cube, tree, way, slot: str) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    last = way(tree, node.outputs[0])
    tree.links.new(last, base(tree))
    tree.links.new(last, shader.inputs["Roughness"])
    room.apply_image(plain(GREEN, "new"), cube, slot)
    other = "Roughness" if slot == "Base Color" else "Base Color"
    assert pictures(tree) == {slot: "new", other: "old"}
    assert shader.inputs[other].links[0].from_socket == last


def test_the_channels_of_a_packed_picture_part(cube, tree) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    parts = tree.nodes.new("ShaderNodeSeparateColor")
    tree.links.new(node.outputs[0], parts.inputs[0])
    tree.links.new(parts.outputs[1], shader.inputs["Roughness"])
    tree.links.new(parts.outputs[2], shader.inputs["Metallic"])
    room.apply_image(plain(GREEN, "new"), cube, "Roughness")
    assert pictures(tree) == {"Roughness": "new", "Metallic": "old"} and node.image.colorspace_settings.name == "sRGB"
    room.apply_image(plain(GREEN, "newer"), cube, "Metallic")  # alone in the packed picture now
    assert pictures(tree) == {"Roughness": "new", "Metallic": "newer"} and node.image.name == "newer"


@pytest.mark.parametrize("slot", ["Base Color", "Normal"])
def test_a_colour_and_normals_part(cube, tree, slot: str) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    tree.links.new(node.outputs[0], base(tree))
    tree.links.new(normal_map(tree, node.outputs[0]), shader.inputs["Normal"])
    room.apply_image(plain(GREEN, "new"), cube, slot)
    assert pictures(tree) == {"Base Color": "old", "Normal": "old", slot: "new"}


def test_displacement_keeps_its_picture(cube, tree) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    output = shaders.output_of(tree)
    tree.links.new(through("ShaderNodeDisplacement", "Height")(tree, node.outputs[0]), output.inputs["Displacement"])
    room.apply_image(plain(GREEN, "new"), cube)
    assert node.image.name == "old" and pictures(tree) == {"Base Color": "new"}


def test_two_colours_and_the_alpha_of_a_leaf_stay_together(cube, tree) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    tree.links.new(node.outputs[0], base(tree))
    tree.links.new(hue(tree, node.outputs[0]), shader.inputs["Emission Color"])
    tree.links.new(node.outputs["Alpha"], shader.inputs["Alpha"])
    room.apply_image(plain(GREEN, "new"), cube)
    assert set(pictures(tree).values()) == {"new"} and node.image.name == "new"


def test_tiles_are_not_split_behind_a_reroute(cube, tree) -> None:
    node, shader = texture(tree), tree.nodes["Principled BSDF"]
    node.image = bpy.data.images.new("body", 8, 8, tiled=True)
    last = reroute(tree, node.outputs[0])
    tree.links.new(last, base(tree))
    tree.links.new(last, shader.inputs["Roughness"])
    with pytest.raises(TargetUnusable, match="feeds 'Roughness' and other inputs"):
        room.apply_image(plain(GREEN, "new"), cube, "Roughness")
    assert set(pictures(tree).values()) == {"body"}
