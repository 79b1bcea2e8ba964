"""Materials: an image into an input of the Principled BSDF, with everything made that is missing."""
from __future__ import annotations

import bpy

from ..protocol.errors import TargetUnusable
from . import compat, marks, uv

BASE_COLOR = "Base Color"
_COLUMN, _ROW = 320.0, 300.0  # node editor units between our node and what it feeds


def apply_image(image: bpy.types.Image, obj: bpy.types.Object, slot: str = BASE_COLOR,
                material: bpy.types.Material | None = None) -> bpy.types.Material:
    """Puts `image` into the input `slot` (any case) of a material's Principled BSDF and returns the material.

    `material`: by default the object's active one. Made where missing: material and slot, output, Principled BSDF, UV map
    (box projection), image node. An image node that feeds the input directly is reused; its former image stays in the
    file, with a fake user. In inputs that are no colours the image is read as Non-Color; "Normal" and "Coat Normal" go
    through a Normal Map node. A material with several users changes for all of them, as everywhere in Blender.
    Raises TargetUnusable, before anything is changed, for what `check_object` refuses and for unknown slots.
    """
    material = material or check_object(obj)
    check_editable(material, "material")
    slot = _known_slot(material, slot)
    uv.ensure_uv(obj)
    material = material or _new_material(obj)
    shader = _principled(compat.node_tree_of(material))
    _feed(material.node_tree, shader.inputs[slot], image)
    image.update_tag()
    marks.refresh([image])
    return material


def check_object(obj: bpy.types.Object | None) -> bpy.types.Material | None:
    """The active material of `obj` (None where one has to be made). Raises TargetUnusable where `obj` cannot take an
    image: none at all, not a mesh, no faces, or linked from another file."""
    if obj is None:
        raise TargetUnusable("There is no active object.", "Click an object first.")
    if obj.type != "MESH":
        raise TargetUnusable(f"'{obj.name}' is not a mesh, so it has no faces to put an image on.",
                             "Choose a mesh, or convert it (Object ▸ Convert).")
    if not _has_faces(obj):
        raise TargetUnusable(f"The mesh of '{obj.name}' has no faces to put an image on.", "Choose an object with faces.")
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


def check_editable(block: bpy.types.ID | None, what: str) -> None:
    """Raises TargetUnusable where `block` is linked from another file and so cannot be changed."""
    if block is not None and not block.is_editable:
        raise TargetUnusable(f"The {what} '{block.name}' is linked from another file and cannot be changed here.",
                             "Make it local (Object ▸ Relations ▸ Make Local) or a library override.")


def put_into_node(node: bpy.types.ShaderNodeTexImage, image: bpy.types.Image) -> None:
    """Shows `image` in an image node; colour space and fake user as `apply_image` treats them."""
    former = node.image
    if former is not None and former != image:
        keep(former)
        if former.colorspace_settings.is_data:
            _as_data(image)
    node.image = image


def keep(image: bpy.types.Image) -> None:
    """Blender drops images without users when it saves; the original of a replaced slot must still be there afterwards."""
    if image.is_editable and not image.is_runtime_data:
        image.use_fake_user = True


def base_color_node(material: bpy.types.Material) -> bpy.types.ShaderNodeTexImage | None:
    """The image node that feeds the Base Color of the material's Principled BSDF directly, if one does."""
    shader = _find_principled(material.node_tree)
    return _source_node(shader.inputs[BASE_COLOR], "TEX_IMAGE") if shader is not None else None


# ---- inside --------------------------------------------------------------------------------------------------------


def _has_faces(obj: bpy.types.Object) -> bool:
    if obj.data.is_editmode:  # what is on screen is not in the mesh yet
        obj.update_from_editmode()
    return len(obj.data.polygons) > 0


def _known_slot(material: bpy.types.Material | None, slot: str) -> str:
    """`slot` as Blender spells it; found without changing the material."""
    names = _slot_names(material)
    for name in names:
        if name.lower() == slot.strip().lower():
            return name
    raise TargetUnusable(f"There is no input called '{slot}'.", f"Choose one of: {', '.join(names)}.")


def _slot_names(material: bpy.types.Material | None) -> list[str]:
    if material is not None and compat.uses_nodes(material):
        shader = _find_principled(material.node_tree)
        if shader is not None:
            return _image_inputs(shader)
    trial = bpy.data.node_groups.new("SD Trial", "ShaderNodeTree")  # the names differ between versions: ask Blender
    try:
        return _image_inputs(trial.nodes.new("ShaderNodeBsdfPrincipled"))
    finally:
        bpy.data.node_groups.remove(trial)


def _image_inputs(shader: bpy.types.ShaderNode) -> list[str]:
    return [item.name for item in shader.inputs if not item.is_unavailable and (item.type in ("RGBA", "VALUE") or _is_normal(item))]


def _is_normal(item: bpy.types.NodeSocket) -> bool:
    return item.type == "VECTOR" and item.name.endswith("Normal")


def _new_material(obj: bpy.types.Object) -> bpy.types.Material:
    material = bpy.data.materials.new(obj.name)
    if obj.material_slots:
        obj.active_material = material
    else:
        obj.data.materials.append(material)
    return material


def _output(tree: bpy.types.NodeTree) -> bpy.types.ShaderNode | None:
    outputs = [node for node in tree.nodes if node.type == "OUTPUT_MATERIAL"]
    return next((node for node in outputs if node.is_active_output), outputs[0] if outputs else None)


def _find_principled(tree: bpy.types.NodeTree) -> bpy.types.ShaderNode | None:
    """The Principled BSDF that feeds the active output, nearest first; where nothing does, any there is."""
    output = _output(tree)
    if output is None or not output.inputs["Surface"].is_linked:
        return next((node for node in tree.nodes if node.type == "BSDF_PRINCIPLED"), None)
    queue, seen = [output.inputs["Surface"]], set()
    while queue:
        for link in queue.pop(0).links:
            node = link.from_node
            if node.type == "BSDF_PRINCIPLED":
                return node
            if node.name not in seen:
                seen.add(node.name)
                queue += [item for item in node.inputs if item.type == "SHADER" or node.type == "REROUTE"]
    return None


def _principled(tree: bpy.types.NodeTree) -> bpy.types.ShaderNode:
    """The Principled BSDF to use; made, and connected to the output, where there is none."""
    output = _output(tree)
    if output is None:
        output = tree.nodes.new("ShaderNodeOutputMaterial")
        output.location = (300.0, 300.0)
    shader = _find_principled(tree)
    if shader is None:
        shader = tree.nodes.new("ShaderNodeBsdfPrincipled")
        shader.location = (output.location.x - _COLUMN, output.location.y)
        tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    elif not output.inputs["Surface"].is_linked:
        tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    return shader


def _feed(tree: bpy.types.NodeTree, item: bpy.types.NodeSocket, image: bpy.types.Image) -> None:
    """Connects `image` to the input `item`."""
    if item.type != "RGBA":
        _as_data(image)
    at_x, at_y = item.node.location
    if _is_normal(item):
        bump = _source_node(item, "NORMAL_MAP")
        if bump is None:
            bump = tree.nodes.new("ShaderNodeNormalMap")
            bump.location = (at_x - _COLUMN, at_y - _ROW)
            tree.links.new(bump.outputs["Normal"], item)
        item = bump.inputs["Color"]
        at_x, at_y = bump.location
    node = _source_node(item, "TEX_IMAGE")
    if node is None:
        node = tree.nodes.new("ShaderNodeTexImage")
        node.location = (at_x - _COLUMN, at_y)
        node.extension = "REPEAT"  # textures repeat; ours may be made without a seam
        tree.links.new(node.outputs["Color"], item)
    put_into_node(node, image)
    tree.nodes.active = node  # what the viewport shows in Solid ▸ Texture, and what texture painting paints on


def _as_data(image: bpy.types.Image) -> None:
    if not image.colorspace_settings.is_data:
        if image.is_dirty or image.source == "GENERATED":
            image.pack()  # Blender reads the image anew when its colour space changes; what was painted would be lost
        image.colorspace_settings.name = "Non-Color"


def _source_node(item: bpy.types.NodeSocket, kind: str) -> bpy.types.ShaderNode | None:
    """The node of type `kind` that feeds `item` directly, or through reroutes."""
    while item.is_linked:
        node = item.links[0].from_node
        if node.type != "REROUTE":
            return node if node.type == kind else None
        item = node.inputs[0]
    return None
