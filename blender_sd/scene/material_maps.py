"""A material of maps: a Principled BSDF with everything wired, its scale and its relief to be turned at one node each.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import bpy

from ..core.errors import InvalidRequest, SDError, TargetUnusable
from ..core.names import suggestion
from ..core.roles import BASE_COLOUR, HEIGHT, MAPS, METALLIC, NORMAL, OCCLUSION, ROUGHNESS
from ..protocol.messages import Result
from . import compat, images, marks, materials, screens, uv
from .targets import Identity, find, identity, push_undo, scenes_of_file

NORMAL_MAP, BUMP, DISPLACEMENT = "normal", "bump", "displacement"
RELIEFS = (NORMAL_MAP, BUMP, DISPLACEMENT)
# Names of our nodes, by which they are found again. Blender keeps them unique within a material.
_SCALE, _RELIEF, _DEPTH, _PER_SCALE = "SD Scale", "SD Relief", "SD Depth", "SD Depth per Scale"
_NORMAL_NODE, _BUMP_NODE, _DISPLACEMENT_NODE = "SD Normal Vector", "SD Bump", "SD Displacement"
_SHADER, _OUTPUT = "SD Shader", "SD Output"
_GLTF = "glTF Material Output"  # the group in which Blender's glTF exporter looks for an occlusion map
_MIDDLE = 0.5  # the height that lies on the surface itself


@dataclass(frozen=True)
class Worn:
    """Where a material goes: the object, its slot, and the file's scenes. Without an object, only into the file."""

    scenes: tuple[int, ...]
    obj: Identity | None = None
    slot: int = 0


def freeze_slot(obj: bpy.types.Object | None) -> Worn:
    """Return the active material slot of an object as the place of a new material; None for the file alone.

    Raises:
        TargetUnusable: The object is no mesh, has no faces, or cannot be changed.
    """
    if obj is None:
        return Worn(scenes_of_file())
    _check_wearer(obj)
    return Worn(scenes_of_file(), identity(obj), obj.active_material_index)


def place(worn: Worn, results: Sequence[Result], name: str, relief: str = NORMAL_MAP,
          strength: float = 1.0) -> bpy.types.Material:
    """Make a material of a job's maps and put it where `worn` says, in one undo step.

    The material that was in the slot stays in the file, with a fake user.

    Args:
        worn: The place.
        results: The job's results; those of `core.roles.MAPS` are the maps.
        name: The material's name.
        relief: How its height is shown, one of RELIEFS.
        strength: How strong the relief is; 1 is as estimated.

    Raises:
        TargetUnusable: The object was deleted or another file was opened; then nothing is left in the file, or the
            material stays with a fake user.
        SourceUnusable: A file is gone; then nothing has been changed.
    """
    if not set(scenes_of_file()) & set(worn.scenes):
        raise TargetUnusable("Another file was opened while the maps were being made.",
                             "The pictures are in the output folder.")
    loaded, depth = load_maps(results, name)
    material = build(loaded, name, depth, relief, strength)
    material.use_fake_user = worn.obj is None
    try:
        if worn.obj is not None:
            _wear(find(worn.obj), worn.slot, material)
    except TargetUnusable as error:
        material.use_fake_user = True
        raise TargetUnusable(error.message, f"The material is kept as '{material.name}'.", error.detail) from None
    finally:
        marks.refresh(list(loaded.values()))
        push_undo(f"SD: {images.short_name(name)}")
    screens.redraw("VIEW_3D")
    return material


def load_maps(results: Sequence[Result], name: str) -> tuple[dict[str, bpy.types.Image], float]:
    """Load the maps among a job's results as images.

    Args:
        results: The results; others than maps are passed over.
        name: Begins the images' names.

    Returns:
        The images by role, and the metres between black and white of the height.

    Raises:
        SourceUnusable: A file is gone; then nothing has been changed.
    """
    loaded: dict[str, bpy.types.Image] = {}
    depth = 0.0
    try:
        for result in results:
            if result.role in MAPS:
                loaded[result.role] = images.load_result(result, f"{images.short_name(name)} {result.role}")
                depth = result.depth or depth
    except SDError:
        bpy.data.batch_remove(list(loaded.values()))
        raise
    return loaded, depth


def build(maps: Mapping[str, bpy.types.Image], name: str, depth: float, relief: str = NORMAL_MAP,
          strength: float = 1.0) -> bpy.types.Material:
    """Return a new material of maps by their roles. It has no user yet.

    Args:
        maps: The images, in the colour spaces of their roles.
        name: The material's name.
        depth: Metres between black and white of the height.
        relief: One of RELIEFS.
        strength: How strong the relief is.
    """
    material = bpy.data.materials.new(images.short_name(name))
    tree = compat.node_tree_of(material)
    tree.nodes.clear()
    output = _node(tree, "OutputMaterial", _OUTPUT, 620, 0)
    shader = _node(tree, "BsdfPrincipled", _SHADER, 240, 0)
    tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    mapping = _mapping(tree)
    pictures = {}
    for row, role in enumerate(role for role in MAPS if role in maps):
        node = _node(tree, "TexImage", picture_node(role), -640, 300 - 290 * row)
        node.image, node.extension = maps[role], "REPEAT"
        tree.links.new(mapping.outputs["Vector"], node.inputs["Vector"])
        pictures[role] = node
    for role, socket in ((BASE_COLOUR, "Base Color"), (ROUGHNESS, "Roughness"), (METALLIC, "Metallic")):
        if role in pictures:
            tree.links.new(pictures[role].outputs["Color"], shader.inputs[socket])
    if BASE_COLOUR in maps and _has_alpha(maps[BASE_COLOUR]):
        tree.links.new(pictures[BASE_COLOUR].outputs["Alpha"], shader.inputs["Alpha"])
    _relief_nodes(tree, pictures, depth, strength)
    if OCCLUSION in pictures:
        _occlusion(tree, pictures[OCCLUSION])
    set_relief(material, relief)
    if BASE_COLOUR in pictures:
        tree.nodes.active = pictures[BASE_COLOUR]
    return material


def set_relief(material: bpy.types.Material, relief: str | None = None, strength: float | None = None) -> None:
    """Change how a material of ours shows its height, and how strongly. Nothing is made again.

    Args:
        material: A material that `build` made.
        relief: NORMAL_MAP (light alone; what glTF takes), BUMP (light alone, from the height) or DISPLACEMENT (the
            surface itself moves; it needs many faces); None leaves it.
        strength: How strong the relief is; 1 is as estimated, negative turns bump and displacement inside out; None
            leaves it.

    Raises:
        TargetUnusable: The material is none of ours, or linked.
        InvalidRequest: There is no such relief, or its strength is not finite.
    """
    check_ours(material)
    check_relief(relief, strength)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    if strength is None:
        strength = strength_of(material)
    nodes[_RELIEF].outputs[0].default_value = nodes[_NORMAL_NODE].inputs["Strength"].default_value = strength
    if relief is None:
        return
    normal, moved = nodes[_SHADER].inputs["Normal"], nodes[_OUTPUT].inputs["Displacement"]
    for socket in (normal, moved):
        for link in list(socket.links):
            links.remove(link)
    if relief == DISPLACEMENT:
        links.new(nodes[_DISPLACEMENT_NODE].outputs["Displacement"], moved)
        material.displacement_method = "DISPLACEMENT"
    else:
        links.new(nodes[_NORMAL_NODE if relief == NORMAL_MAP else _BUMP_NODE].outputs["Normal"], normal)


def relief_of(material: bpy.types.Material | None) -> str:
    """Return how a material of ours shows its height, one of RELIEFS; "" for another material. Reads only memory."""
    tree = material.node_tree if material is not None else None
    if tree is None or any(name not in tree.nodes for name in (_RELIEF, _SHADER, _OUTPUT, _NORMAL_NODE, _BUMP_NODE,
                                                              _DISPLACEMENT_NODE)):
        return ""
    if tree.nodes[_OUTPUT].inputs["Displacement"].is_linked:
        return DISPLACEMENT
    links = tree.nodes[_SHADER].inputs["Normal"].links
    return BUMP if links and links[0].from_node.name == _BUMP_NODE else NORMAL_MAP


def controls(material: bpy.types.Material) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """Return the sockets whose values are the scale of a material of ours, and the strength of the relief that it
    shows."""
    nodes = material.node_tree.nodes
    by_normals = relief_of(material) == NORMAL_MAP
    return nodes[_SCALE].outputs[0], nodes[_NORMAL_NODE].inputs["Strength"] if by_normals else nodes[_RELIEF].outputs[0]


def strength_of(material: bpy.types.Material) -> float:
    """Return how strong the relief of a material of ours is; 1 is as estimated."""
    shown, kept = controls(material)[1].default_value, material.node_tree.nodes[_RELIEF].outputs[0].default_value
    return kept if shown == 0 and kept < 0 else shown  # a Normal Map node knows no negative strength


def settle_scales() -> None:
    """Write the scale of all materials of ours under the link that their Mapping node has it from, where Blender's glTF
    exporter reads it."""
    for material in bpy.data.materials:
        if relief_of(material) and "SD Mapping" in material.node_tree.nodes:
            scale = controls(material)[0].default_value
            material.node_tree.nodes["SD Mapping"].inputs["Scale"].default_value = (scale, scale, scale)


def picture_node(role: str) -> str:
    """Return the name of the node that holds the map of a role."""
    return f"SD {role.title()} Map"


def check_relief(relief: str | None, strength: float | None = None) -> None:
    """Raise InvalidRequest unless `relief` is one of RELIEFS and `strength` finite; None is neither checked."""
    if relief is not None and relief not in RELIEFS:
        raise InvalidRequest(f"There is no relief called '{relief:.40}'.", suggestion(relief, RELIEFS))
    if strength is not None and not math.isfinite(strength):
        raise InvalidRequest("The strength of the relief must be a finite number.", "1 is as estimated.")


def check_ours(material: bpy.types.Material) -> None:
    """Raise TargetUnusable unless a material was made by `build` and can be changed."""
    materials.check_editable(material, "material")
    if not relief_of(material):
        raise TargetUnusable(f"'{material.name}' is no material of maps, so its relief cannot be changed.",
                             "Choose one that was made by Material from Prompt or Maps from Image.")


# ---- inside --------------------------------------------------------------------------------------------------------


def _node(tree: bpy.types.NodeTree, kind: str, name: str, x: float, y: float) -> bpy.types.ShaderNode:
    node = tree.nodes.new(f"ShaderNode{kind}")
    node.name, node.label, node.location = name, name.removeprefix("SD "), (x, y)
    return node


def _mapping(tree: bpy.types.NodeTree) -> bpy.types.ShaderNode:
    """Return a Mapping node by the UV map, scaled by one Value node."""
    coordinates = _node(tree, "TexCoord", "SD Coordinates", -1240, 0)
    scale = _node(tree, "Value", _SCALE, -1240, -280)
    scale.outputs[0].default_value = 1.0
    mapping = _node(tree, "Mapping", "SD Mapping", -960, 0)
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(scale.outputs[0], mapping.inputs["Scale"])
    return mapping


def _relief_nodes(tree: bpy.types.NodeTree, pictures: Mapping[str, bpy.types.ShaderNode], depth: float,
                  strength: float) -> None:
    """Make the nodes for all three ways to show the height; `set_relief` links one of them."""
    relief = _node(tree, "Value", _RELIEF, -640, 600)
    relief.outputs[0].default_value = strength
    metres = _node(tree, "Math", _DEPTH, -420, 600)
    metres.operation, metres.inputs[1].default_value = "MULTIPLY", depth
    smaller = _node(tree, "Math", _PER_SCALE, -240, 600)  # a pattern that repeats more often is less deep
    smaller.operation = "DIVIDE"
    tree.links.new(relief.outputs[0], metres.inputs[0])
    tree.links.new(metres.outputs[0], smaller.inputs[0])
    tree.links.new(tree.nodes[_SCALE].outputs[0], smaller.inputs[1])
    normal = _node(tree, "NormalMap", _NORMAL_NODE, -160, -100)
    normal.inputs["Strength"].default_value = strength  # no link: Blender's glTF exporter passes over one
    bump = _node(tree, "Bump", _BUMP_NODE, -160, -330)
    displacement = _node(tree, "Displacement", _DISPLACEMENT_NODE, 240, -640)
    displacement.inputs["Midlevel"].default_value = _MIDDLE
    tree.links.new(smaller.outputs[0], bump.inputs["Distance"])
    tree.links.new(smaller.outputs[0], displacement.inputs["Scale"])
    if NORMAL in pictures:
        tree.links.new(pictures[NORMAL].outputs["Color"], normal.inputs["Color"])
    if HEIGHT in pictures:
        for node in (bump, displacement):
            tree.links.new(pictures[HEIGHT].outputs["Color"], node.inputs["Height"])


def _occlusion(tree: bpy.types.NodeTree, picture: bpy.types.ShaderNode) -> None:
    """Hand occlusion to Blender's glTF exporter: renderers work it out for themselves."""
    group = bpy.data.node_groups.get(_GLTF)
    if group is None or "Occlusion" not in [item.name for item in group.interface.items_tree]:
        group = bpy.data.node_groups.new(_GLTF, "ShaderNodeTree")
        group.interface.new_socket("Occlusion", in_out="INPUT", socket_type="NodeSocketFloat")
        group.nodes.new("NodeGroupInput")
    node = _node(tree, "Group", "SD Occlusion for glTF", 240, -900)
    node.node_tree = group
    tree.links.new(picture.outputs["Color"], node.inputs["Occlusion"])


def _has_alpha(image: bpy.types.Image) -> bool:
    return image.depth == 32  # bits of a pixel in the file; Blender's buffer has four channels in any case


def _check_wearer(obj: bpy.types.Object) -> None:
    """Raise TargetUnusable unless a material can be put into a slot of an object; the one that is there may be linked
    from another file."""
    materials.check_mesh(obj)
    materials.check_editable(obj, "object")
    if not obj.material_slots or not obj.data.uv_layers:
        materials.check_editable(obj.data, "mesh")


def _wear(obj: bpy.types.Object, slot: int, material: bpy.types.Material) -> None:
    _check_wearer(obj)
    if not obj.material_slots:
        obj.data.materials.append(material)
    else:
        place = obj.material_slots[min(slot, len(obj.material_slots) - 1)]
        if not obj.data.is_editable:
            place.link = "OBJECT"
        if place.material is not None and place.material.is_editable:
            place.material.use_fake_user = True
        place.material = material
    uv.ensure_uv(obj)
