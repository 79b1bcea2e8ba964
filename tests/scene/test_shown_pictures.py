"""Which picture a material shows, and pictures that take another's place: seen afterwards, and nothing is lost without
a word."""
from __future__ import annotations


import bpy
import numpy as np
import pytest

from blender_sd import scene as room
from blender_sd.core.errors import TargetUnusable
from blender_sd.scene import compat, masks, materials, shaders, surfaces
from tests.support.textures import GREEN, RED, base, baked, chains, mix, plain, texture, tree  # noqa: F401  (a fixture)


CHAINS = ("direct", "hue", "muted hue", "reroutes", "mix low", "mix high", "mix driven", "group", "muted group",
          "nested group")


@pytest.mark.parametrize("kind", CHAINS)
def test_the_resolver_says_what_a_bake_shows(cube, tree, kind: str) -> None:
    chains(tree, kind)
    muted = [node for node in tree.nodes if node.mute]
    before = {(link.from_node.name, link.to_node.name) for link in tree.links}
    node = materials.base_color_node(cube.active_material)
    assert node is not None and node.image.name == "old" and node in shaders.shown_images(cube.active_material)
    assert np.abs(baked(cube, base(tree)) - RED[:3]).max() < 30
    room.apply_image(plain(GREEN, "new"), cube)
    assert np.abs(baked(cube, base(tree)) - GREEN[:3]).max() < 30
    assert {(link.from_node.name, link.to_node.name)
            for link in tree.links} == before, "nothing between picture and shader is lost"
    assert [node for node in tree.nodes if node.mute] == muted, "an adjustment that is switched off stays so"


@pytest.mark.parametrize("kind", ["no image", "muted image", "muted link", "hidden side", "empty adjustment"])
def test_after_applying_the_picture_is_seen(cube, tree, kind: str) -> None:
    if kind in ("muted image", "muted link"):
        chains(tree, "direct")
        node = materials.base_color_node(cube.active_material)
        if kind == "muted image":
            node.mute = True
        else:
            base(tree).links[0].is_muted = True
        assert node not in shaders.shown_images(cube.active_material)
        assert "muted" in shaders.why_hidden(cube.active_material, node)
    elif kind == "hidden side":
        node, sides = mix(tree, 0.0)
        hidden = texture(tree)
        tree.links.new(hidden.outputs[0], sides[1])
        tree.links.new(node.outputs[2], base(tree))
        assert materials.base_color_node(cube.active_material) is None
        assert "factor" in shaders.why_hidden(cube.active_material, hidden)
    elif kind == "empty adjustment":
        node = tree.nodes.new("ShaderNodeGamma")
        tree.links.new(node.outputs[0], base(tree))
    room.apply_image(plain(GREEN, "new"), cube)
    assert np.abs(baked(cube, base(tree)) - GREEN[:3]).max() < 30
    if kind in ("hidden side", "empty adjustment"):
        assert base(tree).links[0].from_node == node, "what was between stays"


def test_a_shader_in_a_group_keeps_its_place(cube, tree) -> None:
    group = bpy.data.node_groups.new("Asset Shader", "ShaderNodeTree")
    group.interface.new_socket("Paint", in_out="INPUT", socket_type="NodeSocketColor")
    group.interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    start, inner, end = (group.nodes.new(kind)
                         for kind in ("NodeGroupInput", "ShaderNodeBsdfPrincipled", "NodeGroupOutput"))
    group.links.new(start.outputs[0], inner.inputs["Base Color"])
    group.links.new(inner.outputs[0], end.inputs[0])
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    node = tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    tree.links.new(node.outputs[0], shaders.output_of(tree).inputs["Surface"])
    room.apply_image(plain(GREEN, "new"), cube)
    assert node.outputs[0].is_linked and node.inputs[0].links[0].from_node.image.name == "new"
    assert len(tree.nodes) == 3 and materials.image_in(cube.active_material, "Base Color").name == "new"
    group.use_fake_user = True  # a second user
    with pytest.raises(TargetUnusable, match="inside the node group 'Asset Shader'.*Roughness"):
        room.apply_image(plain(GREEN, "rough"), cube, "Roughness")


def test_geometry_nodes_that_show_another_mesh(cube, tree) -> None:
    group = bpy.data.node_groups.new("G", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    group.links.new(
        group.nodes.new("GeometryNodeMeshUVSphere").outputs[0],
        group.nodes.new("NodeGroupOutput").inputs[0])
    cube.modifiers.new("G", "NODES").node_group = group
    before = len(tree.nodes)
    for ask in (lambda: room.apply_image(plain(GREEN, "new"), cube), lambda: room.target_of_object(cube),
                lambda: room.freeze_target(bpy.context, "material")):
        with pytest.raises(TargetUnusable, match="modifiers and has no UV map"):
            ask()
    assert len(tree.nodes) == before
    cube.modifiers.clear()
    cube.modifiers.new("Smooth", "SUBSURF")
    cube.data.uv_layers.remove(cube.data.uv_layers[0])
    room.apply_image(plain(GREEN, "new"), cube)
    assert cube.data.uv_layers


def test_modifiers_that_set_another_material(cube, tree) -> None:
    group = bpy.data.node_groups.new("G", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    start, other, end = (group.nodes.new(kind)
                         for kind in ("NodeGroupInput", "GeometryNodeSetMaterial", "NodeGroupOutput"))
    other.inputs["Material"].default_value = bpy.data.materials.new("Other")
    group.links.new(start.outputs[0], other.inputs[0])
    group.links.new(other.outputs[0], end.inputs[0])
    cube.modifiers.new("G", "NODES").node_group = group
    with pytest.raises(TargetUnusable, match="does not wear its material"):
        room.apply_image(plain(GREEN, "new"), cube)


def test_dyntopo_and_collapsed_uvs_are_named(cube, tree) -> None:
    bpy.ops.object.mode_set(mode="SCULPT")
    bpy.ops.sculpt.dynamic_topology_toggle()
    with pytest.raises(TargetUnusable, match="Dyntopo"):
        room.apply_image(plain(GREEN, "new"), cube)
    bpy.ops.object.mode_set(mode="OBJECT")
    for corner in cube.data.uv_layers[0].uv:
        corner.vector = (0.5, 0.5)
    with pytest.raises(TargetUnusable, match="no area"):
        room.apply_image(plain(GREEN, "new"), cube)


def test_a_shader_that_is_mixed_away(cube, tree) -> None:
    mixed, clear = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeBsdfTransparent")
    tree.links.new(clear.outputs[0], mixed.inputs[1])
    tree.links.new(tree.nodes["Principled BSDF"].outputs[0], mixed.inputs[2])
    tree.links.new(mixed.outputs[0], shaders.output_of(tree).inputs["Surface"])
    mixed.inputs[0].default_value = 0.5
    room.apply_image(plain(GREEN, "new"), cube)
    mixed.inputs[0].default_value = 0.0
    tree.nodes.remove(clear)
    with pytest.raises(TargetUnusable, match="Mix Shader"):
        room.apply_image(plain(GREEN, "newer"), cube)


@pytest.mark.parametrize("way", ["render", "node", "attribute", "reroute", "mapping", "muted"])
def test_selected_faces_are_where_the_picture_shows_them(way: str) -> None:
    bpy.ops.mesh.primitive_plane_add()
    plane = bpy.context.object
    plane.data.materials.append(bpy.data.materials.new("M"))
    tree = compat.node_tree_of(plane.active_material)
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    skin = plane.data.uv_layers.new(name="Skin")
    scale, move = (0.25, 0.75) if way != "mapping" else (1.0, 0.0)
    for corner in skin.uv:
        corner.vector = (corner.vector[0] * scale + move, corner.vector[1] * scale + move)
    for corner in plane.data.uv_layers[0].uv:
        corner.vector = corner.vector * 0.25
    plane.data.uv_layers.active = plane.data.uv_layers[0]
    plane.data.polygons[0].select = True
    giver = None
    if way in ("render", "muted"):
        skin.active_render = True
    if way == "muted":
        giver = tree.nodes.new("ShaderNodeUVMap")
        giver.uv_map, giver.mute = plane.data.uv_layers[0].name, True
    elif way == "attribute":
        giver = tree.nodes.new("ShaderNodeAttribute")
        giver.attribute_name = "Skin"
    elif way != "render":
        giver = tree.nodes.new("ShaderNodeUVMap")
        giver.uv_map = "Skin"
    socket = giver.outputs["Vector" if way == "attribute" else "UV"] if giver is not None else None
    if way == "reroute":
        knot = tree.nodes.new("NodeReroute")
        tree.links.new(socket, knot.inputs[0])
        socket = knot.outputs[0]
    elif way == "mapping":
        mapping = tree.nodes.new("ShaderNodeMapping")
        mapping.inputs["Scale"].default_value, mapping.inputs["Location"].default_value = (0.25, 0.25, 1), (0.75, 0.75,
                                                                                                            0)
        tree.links.new(socket, mapping.inputs["Vector"])
        socket = mapping.outputs[0]
    if socket is not None:
        tree.links.new(socket, node.inputs["Vector"])
    mask = masks.faces_mask(plane, (64, 64), node.image)().pixels[..., 0] > 0
    assert mask[:16, 48:].all() and mask.sum() < 20 * 20
    assert surfaces.uv_map_of(plane, node.image) == "Skin"
    node.projection = "BOX"
    with pytest.raises(TargetUnusable, match="by a UV map"):
        masks.faces_mask(plane, (64, 64), node.image)


def test_faces_on_other_tiles_have_no_place_in_the_first() -> None:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=2, y_subdivisions=1)
    plane = bpy.context.object
    plane.data.materials.append(bpy.data.materials.new("M"))
    tree = compat.node_tree_of(plane.active_material)
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    node.image = bpy.data.images.new("body", 32, 32, tiled=True)
    node.image.tiles.new(1002)
    for corner in plane.data.uv_layers[0].uv:
        corner.vector.x *= 2
    for polygon in plane.data.polygons:
        polygon.select = polygon.center.x > 0
    assert not masks.faces_mask(plane, (16, 16), node.image)().pixels[..., 0].any()
    for polygon in plane.data.polygons:
        polygon.select = True
    assert masks.faces_mask(plane, (16, 16), node.image)().pixels[..., 0].all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_factor_that_a_value_node_holds(cube, tree, share: float) -> None:
    blend, sides = mix(tree, 0.5)
    for side, name in zip(sides, ("left", "right"), strict=True):
        tree.links.new(texture(tree, GREEN, name).outputs[0], side)
    tree.links.new(next(item for item in blend.outputs if item.enabled), base(tree))
    value = tree.nodes.new("ShaderNodeValue")
    tree.links.new(value.outputs[0], blend.inputs[0])
    value.outputs[0].driver_add("default_value").driver.expression = str(share)
    bpy.context.view_layer.update()
    seen = "right" if share else "left"
    assert materials.image_in(cube.active_material, "Base Color").name == seen
    assert {node.image.name for node in shaders.shown_images(cube.active_material)} == {seen}
