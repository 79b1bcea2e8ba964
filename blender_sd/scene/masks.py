"""Masks in Blender: an image that the artist paints, kept with the image that it masks, and the UV area of selected faces."""
from __future__ import annotations

from collections.abc import Callable

import bmesh
import bpy
import numpy as np

from ..protocol.errors import SourceUnusable, TargetUnusable
from ..protocol.messages import Source
from . import images, materials, raster
from .slots import active_slot
from .targets import Target, identity, new_image_target

def masked_image(context: bpy.types.Context) -> tuple[bpy.types.Image, Target]:
    """The image that Inpaint works on and where its result goes: the active slot's, as `slots.active_slot_image` finds it;
    where a mask is what is being painted or shown, the image that it masks. Raises SourceUnusable, TargetUnusable."""
    image, target = active_slot(context)
    if image is None:
        raise SourceUnusable("The active image slot is empty.", "Choose an image in it first.")
    owner = next((other for other in bpy.data.images if mask_of(other) == image), None)
    if owner is None:
        return image, target
    return owner, _slot_of(context.object, owner) or (target if target.kind == "editor" else new_image_target())


def mask_of(image: bpy.types.Image) -> bpy.types.Image | None:
    """The mask that was made or chosen for `image` (`Image.sd_mask`, which the add-on registers)."""
    return getattr(image, "sd_mask", None)


def new_mask(image: bpy.types.Image, context: bpy.types.Context) -> bpy.types.Image:
    """A black mask of `image`'s size, kept with it, and ready to be painted on: shown in the Image Editor that `context` is
    in, and the canvas of Texture Paint. Raises TargetUnusable for a linked image or scene, SourceUnusable for an empty one."""
    materials.check_editable(image, "image")
    materials.check_editable(context.scene, "scene")
    width, height = images.size_of(image)
    mask = bpy.data.images.new(f"{image.name} mask", width, height, alpha=False)
    mask.generated_color = (0.0, 0.0, 0.0, 1.0)
    image.sd_mask = mask
    show_mask(mask, context)
    return mask


def show_mask(mask: bpy.types.Image, context: bpy.types.Context) -> None:
    """Makes `mask` what is painted on."""
    paint = context.scene.tool_settings.image_paint
    paint.mode, paint.canvas = "IMAGE", mask
    space = context.space_data
    if space is not None and space.type == "IMAGE_EDITOR":
        space.image, space.mode = mask, "PAINT"


def faces_mask(obj: bpy.types.Object | None, size: tuple[int, int]) -> Callable[[], Source]:
    """The UV area of `obj`'s selected faces as a mask of `size` (width, height); the callable draws it, on any thread.
    Raises TargetUnusable where nothing is selected or there is no UV map."""
    if obj is None or obj.type != "MESH":
        raise TargetUnusable("No mesh object is active.", "Select one, and in Edit Mode the faces to paint.")
    mesh = obj.data
    if mesh.uv_layers.active is None:
        raise TargetUnusable(f"'{obj.name}' has no UV map.", "Unwrap it first (UV ▸ Unwrap).")
    triangles = _edited_triangles(mesh) if mesh.is_editmode else _triangles(mesh)
    if not len(triangles):
        raise TargetUnusable(f"No face of '{obj.name}' is selected.", "Select the faces to paint in Edit Mode.")

    def draw() -> Source:
        grey = raster.covered(triangles, size).astype(np.uint8) * 255
        return Source(pixels=np.dstack([grey, grey, grey, np.full_like(grey, 255)]))

    return draw


def _triangles(mesh: bpy.types.Mesh) -> np.ndarray:
    """The selected faces as N×3×2 UV triangles."""
    mesh.calc_loop_triangles()
    selected = np.empty(len(mesh.polygons), bool)
    mesh.polygons.foreach_get("select", selected)
    loops = np.empty((len(mesh.loop_triangles), 3), np.int32)
    mesh.loop_triangles.foreach_get("loops", loops.ravel())
    face = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("polygon_index", face)
    uv = np.empty((len(mesh.loops), 2), np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", uv.ravel())
    return uv[loops[selected[face]]]


def _edited_triangles(mesh: bpy.types.Mesh) -> np.ndarray:
    """The same in Edit Mode, where the mesh itself holds no UVs."""
    edit = bmesh.from_edit_mesh(mesh)
    layer = edit.loops.layers.uv.active
    found = [[tuple(loop[layer].uv) for loop in loops] for loops in edit.calc_loop_triangles() if loops[0].face.select]
    return np.array(found, np.float32).reshape(-1, 3, 2)


def _slot_of(obj: bpy.types.Object | None, image: bpy.types.Image) -> Target | None:
    """The image node of `obj`'s active material that holds `image`."""
    material = obj.active_material if obj is not None else None
    tree = material.node_tree if material is not None else None
    for node in tree.nodes if tree is not None else ():
        if node.type == "TEX_IMAGE" and node.image == image:
            materials.check_editable(material, "material")
            return Target("slot", new_image_target().scenes, owner=identity(material), node=node.name, image=identity(image))
    return None
