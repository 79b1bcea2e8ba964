"""Materials: put an image into an input of the shader that they show, and make everything that is missing."""
from __future__ import annotations

import bmesh
import bpy

from ..core.errors import TargetUnusable
from ..core.names import suggestion
from . import compat, marks, shaders, sharing, uv, worn
from .replacing import check_replaceable, for_slot, put_into_node
from .shaders import Giver, Place, Route

BASE_COLOR = "Base Color"
_COLUMN, _ROW = 320.0, 300.0  # node editor units between our node and its target
_COLOUR = "Color"  # what other shaders than the Principled BSDF call their base color
# Its inputs, and where a Principled BSDF has them
_OF_AN_EMISSION = {"Color": "Emission Color", "Strength": "Emission Strength"}


def apply_image(image: bpy.types.Image, obj: bpy.types.Object, slot: str = BASE_COLOR,
                material: bpy.types.Material | None = None,
                own: bool = False) -> bpy.types.Material:
    """Put an image into an input of the shader that a material shows.

    Material, slot, output, Principled BSDF, UV map (box projection) and image node are made if missing. An image node
    that feeds the input, also through nodes that adjust it, in groups or muted, is used and unmuted; its former image
    stays in the file, with a fake user. Inputs that are no colours get the image as Non-Color; "Normal" and "Coat
    Normal" go through a Normal Map node. If `image` serves another input that reads it differently, a copy of it is
    used. If the slot holds tiles (UDIM), the picture goes into the active one, in a new image with all others.

    Args:
        image: The picture.
        obj: The object.
        slot: The input's name, in any case.
        material: By default the object's active one. It changes for all its users, as everywhere in Blender.
        own: Whether `image` belongs to the caller and may be changed instead of copied.

    Returns:
        The material.

    Raises:
        TargetUnusable: Before anything is changed: `check_object` refuses, the slot is unknown, the picture would not
            be seen, or tiles would be lost.
    """
    material = material or check_object(obj)
    put(image, obj, slot, material, own)
    return material or obj.active_material


def put(image: bpy.types.Image, obj: bpy.types.Object, slot: str, material: bpy.types.Material | None,
        own: bool = False,
        tile: int = 0) -> bpy.types.Image:
    """Do what `apply_image` does, but return the image that is shown then.

    `tile` is the number of the UDIM tile to replace; 0 for the active one.
    """
    material = material or check_object(obj)
    check_editable(material, "material")
    slot = _known_slot(material, slot)
    check_place(obj, material, slot, image, tile)
    uv.ensure_uv(obj)
    material = material or _new_material(obj)
    tree = compat.node_tree_of(material)
    shader = _shader(material) or _new_shader(tree)
    shown = _feed(material, shader, slot, image, own, tile)
    shown.update_tag()
    marks.refresh([shown])
    return shown


def check_place(obj: bpy.types.Object, material: bpy.types.Material | None, slot: str,
                image: bpy.types.Image | None = None,
                tile: int = 0) -> None:
    """Raise TargetUnusable if a picture would not be seen on `obj`, or would lose what is there.

    Args:
        obj: The object.
        material: Its material, or None for a new one.
        slot: The material's input.
        image: The picture; None for a result.
        tile: The number of the UDIM tile to replace; 0 for the active one.
    """
    worn.check_shown(obj, material)
    shader = _shader(material) if material is not None and compat.uses_nodes(material) else None
    place = _place(shader, slot) if shader is not None else None
    if place is not None:
        route = shaders.route_to(place)
        former = route.node.image if route.node is not None else None
        check_replaceable(former, image, tile)
        if former is not None and former.source == "TILED" and sharing.is_read_differently(material, route.node, place):
            raise TargetUnusable(f"The UDIM image '{former.name}' feeds '{place.socket.name}' and other inputs, which "
                                 "read it differently.",
                                 f"Give '{place.socket.name}' an image node of its own first.")
        _check_tree(material, route)


def check_object(obj: bpy.types.Object | None) -> bpy.types.Material | None:
    """Return the active material of `obj`, or None if one has to be made.

    Raises:
        TargetUnusable: `obj` cannot take an image: it is None, no mesh, without faces, or linked from another file.
    """
    check_mesh(obj)
    material = obj.active_material
    if material is None:  # the object and its mesh are changed only where something is missing
        check_editable(obj, "object")
        by_mesh = not obj.material_slots or obj.material_slots[obj.active_material_index].link == "DATA"
        if by_mesh:
            check_editable(obj.data, "mesh")
    check_editable(material, "material")
    if not obj.data.uv_layers:
        check_editable(obj.data, "mesh")
    return material


def check_mesh(obj: bpy.types.Object | None) -> None:
    """Raise TargetUnusable unless `obj` is a mesh with faces."""
    if obj is None:
        raise TargetUnusable("There is no active object.", "Click an object first.")
    if obj.type != "MESH":
        raise TargetUnusable(f"'{obj.name}' is not a mesh, so it has no faces to put an image on.",
                             "Choose a mesh, or convert it (Object ▸ Convert).")
    if not _has_faces(obj):
        raise TargetUnusable(f"The mesh of '{obj.name}' has no faces to put an image on.",
                             "Choose an object with faces.")


def missing(obj: bpy.types.Object, material: bpy.types.Material | None) -> tuple[str, ...]:
    """Return what `apply_image` has to make before `obj` can show an image: "material", "UV map", both or nothing."""
    return (*(("material",) if material is None else ()), *(("UV map",) if not obj.data.uv_layers else ()))


def check_editable(block: bpy.types.ID | None, what: str) -> None:
    """Raise TargetUnusable if `block` is linked from another file and so cannot be changed."""
    if block is not None and not block.is_editable:
        raise TargetUnusable(f"The {what} '{block.name}' is linked from another file and cannot be changed here.",
                             "Make it local (Object ▸ Relations ▸ Make Local) or a library override.")


def base_color_node(material: bpy.types.Material) -> bpy.types.ShaderNodeTexImage | None:
    """Return the image node that gives the material its base color, or None."""
    return _node_in(material, BASE_COLOR)


def image_in(material: bpy.types.Material, slot: str) -> bpy.types.Image | None:
    """Return the image that `apply_image` would replace in the input `slot` (any case), or None."""
    node = _node_in(material, slot)
    return node.image if node is not None else None


def input_of(material: bpy.types.Material, slot: str) -> Place | None:
    """Return the input (any case) of the shader that `apply_image` puts pictures into, or None."""
    try:
        shader = _shader(material)
    except TargetUnusable:
        return None
    return _place(shader, slot) if shader is not None else None


def unmute(muted: shaders.Muted) -> None:
    """Unmute everything in `muted`."""
    for part in muted:
        if isinstance(part, bpy.types.NodeLink):
            part.is_muted = False
        else:
            part.mute = False


def _has_faces(obj: bpy.types.Object) -> bool:
    if obj.data.is_editmode:  # edits are not in the mesh yet
        return len(bmesh.from_edit_mesh(obj.data).faces) > 0
    return len(obj.data.polygons) > 0


def _known_slot(material: bpy.types.Material | None, slot: str) -> str:
    """Return `slot` as Blender spells it, without changing the material. Raises TargetUnusable."""
    names = _slot_names(material)
    for name in names:
        if name.lower() == slot.strip().lower():
            return name
    raise TargetUnusable(f"There is no input called '{slot}'.", suggestion(slot, names))


def _slot_names(material: bpy.types.Material | None) -> list[str]:
    shader = _shader(material) if material is not None and compat.uses_nodes(material) else None
    if shader is not None:
        names = _image_inputs(shader.node)
        return names if shader.node.type == shaders.PRINCIPLED else [BASE_COLOR,
                                                                     *(name for name in names if name != _COLOUR)]
    trial = bpy.data.node_groups.new("SD Trial", "ShaderNodeTree")  # the names differ between versions: ask Blender
    try:
        return _image_inputs(trial.nodes.new("ShaderNodeBsdfPrincipled"))
    finally:
        bpy.data.node_groups.remove(trial)


def _image_inputs(shader: bpy.types.ShaderNode) -> list[str]:
    return [item.name for item in shader.inputs if not item.is_unavailable
            and (item.type in ("RGBA", "VALUE") or _is_normal(item))]


def _is_normal(item: bpy.types.NodeSocket) -> bool:
    return item.type == "VECTOR" and item.name.endswith("Normal")


def _new_material(obj: bpy.types.Object) -> bpy.types.Material:
    material = bpy.data.materials.new(obj.name)
    if obj.material_slots:
        obj.active_material = material
    else:
        obj.data.materials.append(material)
    return material


def _shader(material: bpy.types.Material) -> Giver | None:
    """Return the shader whose colour `material` shows, or None if one has to be made.

    That is the nearest Principled BSDF, else the nearest other shader with a colour; an Emission only if a picture
    feeds it.

    Raises:
        TargetUnusable: A Mix Shader hides the only candidate.
    """
    if not compat.uses_nodes(material):
        return None
    shown = list(shaders.shown_shaders(material, mutes=False))
    for giver, _ in shown:
        if giver.node.type == shaders.PRINCIPLED:
            return giver
    for giver, _ in shown:
        place = _place(giver, BASE_COLOR)
        if place is not None and (giver.node.type != "EMISSION" or shaders.route_to(place).node is not None):
            return giver
    if any(giver.node.type == shaders.PRINCIPLED for giver,
           _ in shaders.shown_shaders(material, mutes=False, factors=False)):
        raise TargetUnusable(f"A picture in '{material.name}' would not be seen: a Mix Shader shows only its other "
                             "side.",
                             "Change its factor.")
    if shown:
        return None
    stray = next((node for node in material.node_tree.nodes if node.type == shaders.PRINCIPLED), None)
    return Giver(stray.outputs[0], ()) if stray is not None else None


def _place(shader: Giver, slot: str) -> Place | None:
    """Return the input of `shader` that `slot` (any case) means, or None."""
    wanted = slot.strip().lower()
    if shader.node.type != shaders.PRINCIPLED and wanted == BASE_COLOR.lower():
        wanted = _COLOUR.lower()
    item = next((item for item in shader.node.inputs if item.name.lower() == wanted and item.type != "SHADER"), None)
    return Place(item, shader.groups) if item is not None else None


def _node_in(material: bpy.types.Material, slot: str) -> bpy.types.ShaderNodeTexImage | None:
    place = input_of(material, slot)
    node = shaders.route_to(place).node if place is not None else None
    return node if node is not None and node.type == "TEX_IMAGE" else None


def _check_tree(material: bpy.types.Material, route: Route) -> None:
    """Raise TargetUnusable if a new node would have to go into a group that is linked or used elsewhere too."""
    tree = route.end.socket.id_data
    if tree.is_embedded_data:
        return
    if not tree.is_editable:
        check_editable(tree, "node group")
    if route.node is None and tree.users > 1:
        raise TargetUnusable(f"The shader of '{material.name}' is inside the node group '{tree.name}', which is used "
                             f"elsewhere too and has no input for '{route.end.socket.name}'.",
                             "Add that input to the group, or make the group a single user.")


def _new_shader(tree: bpy.types.NodeTree) -> Giver:
    """Return a new Principled BSDF that feeds the output, which is made if missing. It takes over a former Emission."""
    output = shaders.output_of(tree)
    if output is None:
        output = tree.nodes.new("ShaderNodeOutputMaterial")
        output.location = (300.0, 300.0)
    former, _ = shaders.feeding(Place(output.inputs["Surface"]), mutes=False)
    shader = tree.nodes.new("ShaderNodeBsdfPrincipled")
    shader.location = (output.location.x - _COLUMN, output.location.y)
    if former is not None and former.node.type == "EMISSION" and not former.groups:
        for name, wanted in _OF_AN_EMISSION.items():
            item = former.node.inputs[name]
            shader.inputs[wanted].default_value = item.default_value
            if item.is_linked:
                tree.links.new(item.links[0].from_socket, shader.inputs[wanted])
    tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    return Giver(shader.outputs["BSDF"], ())


def _feed(material: bpy.types.Material, shader: Giver, slot: str, image: bpy.types.Image, own: bool,
          tile: int) -> bpy.types.Image:
    """Connect `image` to the input `slot` of `shader`, and the shader to the output. Return the image that is shown."""
    if not any(link for link in shader.node.outputs[0].links):  # it feeds nothing yet
        material.node_tree.links.new(shader.node.outputs[0], shaders.output_of(material.node_tree).inputs["Surface"])
    for shown in shaders.shown_shaders(material, mutes=False):
        if shown.giver == shader:
            unmute(shown.muted)
    place = _place(shader, slot)
    image = for_slot(image, place.socket.type != "RGBA", own)
    picture_place = _through_normal_map(place) if _is_normal(place.socket) else place
    route = shaders.route_to(picture_place)
    node = route.node
    if node is None or node.type != "TEX_IMAGE":
        node = _new_node(route.end)
    elif sharing.is_read_differently(material, node, place):
        node = _split(node, sharing.own_end(picture_place, node))
        route = shaders.route_to(picture_place)
    unmute(route.muted)
    image = put_into_node(node, image, own, tile)
    node.id_data.nodes.active = node  # Solid ▸ Texture shows it, and Texture Paint paints on it
    return image


def _through_normal_map(place: Place) -> Place:
    """Return the colour input of the Normal Map node that feeds `place`, also through a Bump node; made if missing."""
    giver, end = shaders.feeding(place, mutes=False)
    if giver is not None and giver.node.type == "BUMP":
        giver, end = shaders.feeding(Place(giver.node.inputs["Normal"], giver.groups), mutes=False)
    if giver is not None and giver.node.type == "NORMAL_MAP":
        return Place(giver.node.inputs["Color"], giver.groups)
    tree, node = end.socket.id_data, end.socket.node
    bump = tree.nodes.new("ShaderNodeNormalMap")
    bump.location = (node.location.x - _COLUMN, node.location.y - _ROW)
    tree.links.new(bump.outputs["Normal"], end.socket)
    return Place(bump.inputs["Color"], end.groups)


def _new_node(end: Place) -> bpy.types.ShaderNodeTexImage:
    tree, fed = end.socket.id_data, end.socket.node
    node = tree.nodes.new("ShaderNodeTexImage")
    node.location = (fed.location.x - _COLUMN, fed.location.y)
    node.extension = "REPEAT"  # textures repeat, and ours may be seamless
    tree.links.new(node.outputs["Color"], end.socket)
    return node


def _split(node: bpy.types.ShaderNodeTexImage, end: Place) -> bpy.types.ShaderNodeTexImage:
    """Return a new node beside `node` that is mapped like it and feeds `end` in its place."""
    other = _new_node(end)
    if other.id_data == node.id_data:
        other.location = (node.location.x, node.location.y - _ROW)
        for link in node.inputs["Vector"].links:
            node.id_data.links.new(link.from_socket, other.inputs["Vector"])
    for name in ("projection", "projection_blend", "interpolation", "extension"):
        setattr(other, name, getattr(node, name))
    return other
