"""The texture slot that the artist is working on: image node, paint slot or Image Editor."""
from __future__ import annotations

import bpy

from ..protocol.errors import SourceUnusable
from . import compat, images, materials
from .targets import Target, identity, new_image_target


def active_slot_image(context: bpy.types.Context) -> tuple[bpy.types.Image, Target]:
    """The image of the active slot, and the target that puts a result into that same slot.

    Which slot: in the Image Editor its image; in a Shader Editor the active image node; in Texture Paint the active paint
    slot or the canvas; elsewhere the active image node of the active object's material (in the Properties editor: of the material
    shown there), else the one that feeds Base Color.
    Raises SourceUnusable where there is no image, TargetUnusable where the slot is linked from another file.
    """
    image, target = active_slot(context)
    if image is None:
        raise SourceUnusable("The active image slot is empty.", "Choose an image in it first.")
    return image, target


def active_slot(context: bpy.types.Context) -> tuple[bpy.types.Image | None, Target]:
    """As `active_slot_image`, but the slot may hold no image yet."""
    area = context.area
    if area is not None and area.type == "IMAGE_EDITOR" and area.spaces.active.image is not None:
        return _in_editor(area.spaces.active.image)
    if area is not None and area.type == "NODE_EDITOR" and area.spaces.active.tree_type == "ShaderNodeTree":
        return _in_shader_editor(area.spaces.active)
    obj = context.object
    material = obj.active_material if obj is not None else None
    if area is not None and area.type == "PROPERTIES":
        material = getattr(context, "material", None) or material  # the one shown there may be pinned
    elif obj is not None and obj.mode == "TEXTURE_PAINT":
        return _in_paint(context, obj)
    if material is not None and compat.uses_nodes(material):
        active = material.node_tree.nodes.active
        node = active if _is_image_node(active) else materials.base_color_node(material)
        if node is not None:
            return _of_node(material, node)
    raise SourceUnusable("There is no active image slot.",
                         "Select an image node in the Shader Editor, a paint slot in Texture Paint, or open an image in the Image Editor.")


# ---- inside --------------------------------------------------------------------------------------------------------


def _in_editor(image: bpy.types.Image) -> tuple[bpy.types.Image, Target]:
    if image.type in images.RENDERED:  # a render is a source, but nothing can be put into it
        return image, new_image_target()
    return image, Target("editor", new_image_target().scenes, image=identity(image))


def _in_shader_editor(space: bpy.types.SpaceNodeEditor) -> tuple[bpy.types.Image | None, Target]:
    tree = space.edit_tree
    node = tree.nodes.active if tree is not None else None
    if not _is_image_node(node):
        raise SourceUnusable("No image node is active in the Shader Editor.", "Click an Image Texture node.")
    owner = tree if not tree.is_embedded_data else space.id
    return _of_node(owner, node)


def _in_paint(context: bpy.types.Context, obj: bpy.types.Object) -> tuple[bpy.types.Image | None, Target]:
    paint = context.scene.tool_settings.image_paint
    if paint.mode == "IMAGE":
        materials.check_editable(context.scene, "scene")
        return paint.canvas, Target("canvas", new_image_target().scenes, owner=identity(context.scene),
                                    image=identity(paint.canvas) if paint.canvas else None)
    material = obj.active_material
    painted = list(material.texture_paint_images) if material is not None else []
    if painted:
        image = painted[min(material.paint_active_slot, len(painted) - 1)]
        node = next((node for node in material.node_tree.nodes if _is_image_node(node) and node.image == image), None)
        if node is not None:
            return _of_node(material, node)
    raise SourceUnusable("There is no active paint slot.", "Add a texture paint slot, or choose an image in the Shader Editor.")


def _of_node(owner: bpy.types.ID, node: bpy.types.ShaderNodeTexImage) -> tuple[bpy.types.Image | None, Target]:
    materials.check_editable(owner, "material" if isinstance(owner, bpy.types.Material) else "node tree")
    return node.image, Target("slot", new_image_target().scenes, owner=identity(owner), node=node.name,
                              image=identity(node.image) if node.image else None)


def _is_image_node(node: bpy.types.Node | None) -> bool:
    return node is not None and node.type in ("TEX_IMAGE", "TEX_ENVIRONMENT")
