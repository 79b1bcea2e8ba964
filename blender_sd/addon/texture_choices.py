"""The choices of the panel Texture Object: where objects are seen from, and which part of the textures is painted."""
from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty

from .. import scene
from ..core.errors import InvalidRequest, SourceUnusable
from ..core.tasks import SIDES

TEXTURE_FROM = (
    ("SIDES", "Sides", "From the sides chosen below"),
    ("CAMERAS", "Cameras", "From the cameras chosen below"))
TEXTURE_MASKS = (
    ("ALL", "Everything", "All of the textures"),
    ("FACES", "Selected Faces", "The faces that are selected in Edit Mode"),
    ("GROUP", "Vertex Group", "The faces in the active object's active vertex group"),
    ("PAINTED", "Painted Mask", "What is white in the mask that was painted for the active image"))
_VIEW = ("Paint from This Camera", "Texture Object paints the objects from this camera")


def meshes_in(context: bpy.types.Context) -> list[bpy.types.Object]:
    """Return the selected meshes."""
    return [obj for obj in context.selected_objects if obj.type == "MESH"]


def cameras_in(context: bpy.types.Context) -> list[bpy.types.Object]:
    """Return the cameras that can be chosen; none if sides are chosen instead."""
    if context.scene.sd.texture_from != "CAMERAS":
        return []
    return [obj for obj in context.scene.objects if obj.type == "CAMERA"]


def texture_views(context: bpy.types.Context) -> list:
    """Return the views that are chosen, as the API takes them. Raise InvalidRequest for none."""
    settings = context.scene.sd
    if settings.texture_from == "CAMERAS":
        cameras = cameras_in(context)
        if not cameras:
            raise InvalidRequest("The scene has no cameras to see the objects from.", "Add some, or choose Sides.")
        chosen = [camera for camera in cameras if camera.sd_view]
        if not chosen:
            raise InvalidRequest("No camera is chosen.", "Choose the cameras to paint from.")
        return chosen
    chosen = [name for name, on in zip(SIDES, settings.texture_sides, strict=True) if on]
    if not chosen:
        raise InvalidRequest("No side is chosen.", "Choose the sides to paint from.")
    return chosen


def texture_mask(context: bpy.types.Context) -> Any:
    """Return the part of the textures that is painted, as the API takes it. Raise SourceUnusable."""
    kind = context.scene.sd.texture_mask
    if kind == "GROUP":
        obj = context.object
        group = obj.vertex_groups.active if obj is not None and obj.type == "MESH" else None
        if group is None:
            raise SourceUnusable("The active object has no vertex group.", "Make one, or choose another part.")
        return group.name
    if kind == "PAINTED":
        image, _ = scene.masked_image(context)
        mask = scene.mask_of(image)
        if mask is None:
            raise SourceUnusable(f"No mask is painted for '{image.name}'.", "Paint one in the panel Inpaint.")
        return mask
    return "FACES" if kind == "FACES" else None


def register() -> None:
    bpy.types.Object.sd_view = BoolProperty(name=_VIEW[0], description=_VIEW[1], default=True)


def unregister() -> None:
    del bpy.types.Object.sd_view
