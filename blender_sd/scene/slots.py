"""The texture slot that the artist is working on (image node, paint slot or Image Editor), and the target of a click.
"""
from __future__ import annotations

from dataclasses import replace

import bpy

from ..core.errors import SourceUnusable, TargetUnusable
from ..core.names import suggestion
from . import compat, materials, replacing, screens, shaders
from .targets import Target, identity, is_mesh_selected, new_image_target, scenes_of_file, with_tile


def freeze_target(context: bpy.types.Context, kind: str, slot: str = materials.BASE_COLOR, opacity: float = 1.0,
                  at_a_glance: bool = False) -> Target:
    """Return the target that `context` means now.

    Args:
        context: Blender's context.
        kind: "new", "material" (the active object's active material), "auto" (the same if a mesh is selected, otherwise
            "new"), "slot" (what `active_slot_image` returns) or "camera_background" (the scene's camera).
        slot: The material's input.
        opacity: Of the camera background, 0 to 1.
        at_a_glance: Whether to skip the slow check that the picture would be seen there, for drawing code.

    Raises:
        TargetUnusable: It cannot take an image: nothing is active, no mesh, no faces, linked data, no camera, or not
            seen.
    """
    return with_tile(_frozen(context, "new" if kind == "auto" and not is_mesh_selected(context) else kind, slot,
                             opacity, at_a_glance))


def _frozen(context: bpy.types.Context, kind: str, slot: str, opacity: float, at_a_glance: bool) -> Target:
    if kind == "new":
        return new_image_target(context)
    if kind in ("material", "auto"):
        kind, obj = "material", context.object
        material = materials.check_object(obj)
        if not at_a_glance:
            materials.check_place(obj, material, slot)
        return Target(kind, scenes_of_file(), obj=identity(obj), material=identity(material) if material else None,
                      slot=slot,
                      editor=screens.editor_of(context))
    if kind == "slot":
        return active_slot(context)[1]
    if kind == "camera_background":
        camera = context.scene.camera
        if camera is None or camera.type != "CAMERA":
            raise TargetUnusable(f"The scene '{context.scene.name}' has no camera.", "Add one (Add ▸ Camera).")
        materials.check_editable(camera.data, "camera")
        return Target(kind, scenes_of_file(), obj=identity(camera), editor=screens.editor_of(context), opacity=opacity)
    raise TargetUnusable(f"There is no target called '{kind}'.",
                         suggestion(kind, ("auto", "new", "material", "slot", "camera_background")))


def active_slot_image(context: bpy.types.Context) -> tuple[bpy.types.Image, Target]:
    """Return the image of the active slot, and the target that puts a result into the same slot.

    In the Image Editor that is its image; in a Shader Editor the active image node; in Texture Paint the active paint
    slot or the canvas; elsewhere the active image node of the active object's material (in the Properties editor: of
    the material shown there), otherwise the one that feeds Base Color.

    Raises:
        SourceUnusable: There is no image.
        TargetUnusable: The slot is linked from another file.
    """
    image, target = active_slot(context)
    if image is None:
        raise SourceUnusable("The active image slot is empty.", "Choose an image in it first.")
    return image, target


def active_slot(context: bpy.types.Context) -> tuple[bpy.types.Image | None, Target]:
    """Return what `active_slot_image` returns, but the slot may hold no image yet."""
    image, target = _found(context)
    return image, with_tile(replace(target, editor=screens.editor_of(context)))


# ---- inside --------------------------------------------------------------------------------------------------------


def _found(context: bpy.types.Context) -> tuple[bpy.types.Image | None, Target]:
    area = context.area
    if area is not None and area.type == "IMAGE_EDITOR" and area.spaces.active.image is not None:
        return _in_editor(area.spaces.active.image)
    if area is not None and area.type == "NODE_EDITOR" and area.spaces.active.tree_type == "ShaderNodeTree":
        return _in_shader_editor(area.spaces.active)
    obj = context.object
    material = obj.active_material if obj is not None else None
    if area is not None and area.type == "PROPERTIES":
        material = getattr(context, "material", None) or material  # the shown material may be pinned
    elif obj is not None and obj.mode == "TEXTURE_PAINT":
        return _in_paint(context, obj)
    if material is not None and compat.uses_nodes(material):
        active = material.node_tree.nodes.active
        node = active if active is not None and active.type in shaders.IMAGES else materials.base_color_node(material)
        if node is not None:
            return _of_node(material if node.id_data.is_embedded_data else node.id_data, node)
    raise SourceUnusable("There is no active image slot.",
                         "Select an image node in the Shader Editor, a paint slot in Texture Paint, or open an image "
                         "in the Image Editor.")


def _in_editor(image: bpy.types.Image) -> tuple[bpy.types.Image, Target]:
    if image.type in screens.RENDERED:  # a render is a source, but nothing can be put into it
        return image, new_image_target()
    replacing.check_replaceable(image)
    return image, Target("editor", new_image_target().scenes, image=identity(image))


def _in_shader_editor(space: bpy.types.SpaceNodeEditor) -> tuple[bpy.types.Image | None, Target]:
    tree = space.edit_tree
    node = tree.nodes.active if tree is not None else None
    if node is None or node.type not in shaders.IMAGES:
        raise SourceUnusable("No image node is active in the Shader Editor.", "Click an Image Texture node.")
    owner = tree if not tree.is_embedded_data else space.id
    return _of_node(owner, node)


def _in_paint(context: bpy.types.Context, obj: bpy.types.Object) -> tuple[bpy.types.Image | None, Target]:
    paint = context.scene.tool_settings.image_paint
    if paint.mode == "IMAGE":
        materials.check_editable(context.scene, "scene")
        replacing.check_replaceable(paint.canvas)
        return paint.canvas, Target("canvas", new_image_target().scenes, owner=identity(context.scene),
                                    image=identity(paint.canvas) if paint.canvas else None)
    material = obj.active_material
    painted = list(material.texture_paint_images) if material is not None else []
    if painted:
        image = painted[min(material.paint_active_slot, len(painted) - 1)]
        nodes = [node for node in material.node_tree.nodes if node.type in shaders.IMAGES and node.image == image]
        active = material.node_tree.nodes.active
        node = active if active in nodes else next(iter(nodes), None)  # an image may be in several nodes
        if node is not None:
            return _of_node(material, node)
    raise SourceUnusable("There is no active paint slot.",
                         "Add a texture paint slot, or choose an image in the Shader Editor.")


def _of_node(owner: bpy.types.ID, node: bpy.types.ShaderNodeTexImage) -> tuple[bpy.types.Image | None, Target]:
    materials.check_editable(owner, "material" if isinstance(owner, bpy.types.Material) else "node tree")
    replacing.check_replaceable(node.image)
    return node.image, Target("slot", new_image_target().scenes, owner=identity(owner), node=node.name,
                              image=identity(node.image) if node.image else None)
