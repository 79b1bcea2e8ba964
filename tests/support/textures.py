"""Materials and images of one colour, and what a material shows, as a bake finds it."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd.scene import compat, shaders
from tests.support.pictures import generated, raw_pixels

RED, GREEN, BLUE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)


def plain(colour, name: str, side: int = 8) -> bpy.types.Image:
    image = generated(np.full((side, side, 4), colour, np.uint8), name)
    image.update()
    return image


@pytest.fixture
def tree(cube: bpy.types.Object) -> bpy.types.NodeTree:
    cube.data.materials.append(bpy.data.materials.new("M"))
    return compat.node_tree_of(cube.active_material)


def base(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    return tree.nodes["Principled BSDF"].inputs["Base Color"]


def texture(tree: bpy.types.NodeTree, colour=RED, name: str = "old") -> bpy.types.ShaderNodeTexImage:
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = plain(colour, name)
    return node


def mix(tree: bpy.types.NodeTree, factor: float,
        blend: str = "MIX") -> tuple[bpy.types.ShaderNode, list[bpy.types.NodeSocket]]:
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type = "RGBA", blend
    items = [item for item in node.inputs if item.enabled]
    items[0].default_value = factor
    return node, items[1:3]


def baked(obj: bpy.types.Object, item: bpy.types.NodeSocket) -> np.ndarray:
    """The mean colour (sRGB, 0 to 255) that Cycles finds at the input `item` of a shader of `obj`'s material, by an
    emission bake."""
    current, material = bpy.context.scene, obj.active_material
    tree = material.node_tree
    output = shaders.output_of(tree)
    was = output.inputs["Surface"].links[0].from_socket
    emission = tree.nodes.new("ShaderNodeEmission")
    link = next((link for link in item.links if not link.is_muted), None)
    if link is not None:
        tree.links.new(link.from_socket, emission.inputs["Color"])
    else:
        emission.inputs["Color"].default_value = item.default_value
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    into = tree.nodes.new("ShaderNodeTexImage")
    into.image = bpy.data.images.new("baked", 16, 16)
    tree.nodes.active = into
    current.render.engine, current.cycles.samples, current.cycles.device = "CYCLES", 1, "CPU"
    obj.select_set(True)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.bake(type="EMIT", margin=0, use_clear=True)
    colour = raw_pixels(into.image)[6:10, 6:10, :3].reshape(-1, 3).mean(0)
    tree.nodes.remove(into)
    tree.nodes.remove(emission)
    tree.links.new(was, output.inputs["Surface"])
    return colour


def chains(tree: bpy.types.NodeTree, kind: str) -> None:
    """Build something between a red picture and the base color."""
    if kind == "muted hue":
        chains(tree, "hue")
        node = next(node for node in tree.nodes if node.type == "HUE_SAT")
        node.inputs["Value"].default_value, node.mute = 0.0, True
        return
    if kind == "muted group":
        chains(tree, "group")
        node = next(node for node in tree.nodes if node.type == "GROUP")
        dark = node.node_tree.nodes["Gamma"].inputs["Gamma"]
        dark.default_value, node.mute = 9.0, True
        return
    links, image = tree.links, texture(tree)
    if kind == "direct":
        links.new(image.outputs[0], base(tree))
    elif kind == "hue":
        node = tree.nodes.new("ShaderNodeHueSaturation")
        links.new(image.outputs[0], node.inputs["Color"])
        links.new(node.outputs[0], base(tree))
    elif kind == "reroutes":
        first, second = tree.nodes.new("NodeReroute"), tree.nodes.new("NodeReroute")
        links.new(image.outputs[0], first.inputs[0])
        links.new(first.outputs[0], second.inputs[0])
        links.new(second.outputs[0], base(tree))
    elif kind in ("mix low", "mix high", "mix driven"):
        node, sides = mix(tree, 0.0 if kind == "mix low" else 1.0)
        links.new(image.outputs[0], sides[1 if kind == "mix high" else 0])
        links.new(texture(tree, BLUE, "other").outputs[0], sides[0 if kind == "mix high" else 1])
        links.new(node.outputs[2], base(tree))
        if kind == "mix driven":
            node.inputs[0].driver_add("default_value").driver.expression = "0.0"
            bpy.context.view_layer.update()
    elif kind in ("group", "nested group"):
        group = bpy.data.node_groups.new("Adjust", "ShaderNodeTree")
        group.interface.new_socket("Picture", in_out="INPUT", socket_type="NodeSocketColor")
        group.interface.new_socket("Result", in_out="OUTPUT", socket_type="NodeSocketColor")
        start, gamma, end = (group.nodes.new(name) for name in ("NodeGroupInput", "ShaderNodeGamma", "NodeGroupOutput"))
        group.links.new(start.outputs[0], gamma.inputs["Color"])
        group.links.new(gamma.outputs[0], end.inputs[0])
        if kind == "nested group":
            outer = bpy.data.node_groups.new("Outer", "ShaderNodeTree")
            outer.interface.new_socket("Picture", in_out="INPUT", socket_type="NodeSocketColor")
            outer.interface.new_socket("Result", in_out="OUTPUT", socket_type="NodeSocketColor")
            start, inner, end = (outer.nodes.new(name)
                                 for name in ("NodeGroupInput", "ShaderNodeGroup", "NodeGroupOutput"))
            inner.node_tree = group
            outer.links.new(start.outputs[0], inner.inputs[0])
            outer.links.new(inner.outputs[0], end.inputs[0])
            group = outer
        node = tree.nodes.new("ShaderNodeGroup")
        node.node_tree = group
        links.new(image.outputs[0], node.inputs[0])
        links.new(node.outputs[0], base(tree))
