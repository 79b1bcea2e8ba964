"""Whether the open 3D Views show a result that is on a model, and the shading in which they do."""
from __future__ import annotations

from collections.abc import Iterator

import bpy

from . import marks
from .targets import Identity, identity, lookup

SHADINGS = ("MATERIAL", "TEXTURE")  # Material Preview; Solid with the textures' colour


def materials_with(image: bpy.types.Image, layer: bpy.types.ViewLayer) -> list[Identity]:
    """Return the materials that use `image`, also through node groups, on objects that `layer` shows."""
    users = {block for block in marks.using([image]) if isinstance(block, bpy.types.Material)}
    worn = {slot.material for obj in layer.objects if obj.visible_get(view_layer=layer)
            for slot in obj.material_slots} if users else set()
    return [identity(material) for material in users & worn]


def hiding(materials: list[Identity]) -> str:
    """Return the shading of the largest 3D View if no open view shows the textures of `materials`, otherwise "".

    It is "SOLID", "WIREFRAME" or "RENDERED"; "" also if no view is open or no material is left.
    """
    present = [material for known in materials if (material := lookup(known)) is not None]
    views = list(_views()) if present else []
    if not views or any(_shows(window, area.spaces.active, present) for window, area in views):
        return ""
    return max(views, key=_size)[1].spaces.active.shading.type


def reveal(context: bpy.types.Context, shading: str) -> bool:
    """Set the 3D View of `context`, or the largest open one, to a shading (of SHADINGS) that shows textures.

    Returns:
        Whether there is one.
    """
    views = list(_views())
    if context.area is not None and context.area.type == "VIEW_3D":
        space = context.area.spaces.active
    elif views:
        space = max(views, key=_size)[1].spaces.active
    else:
        return False
    space.shading.type = "MATERIAL" if shading == "MATERIAL" else "SOLID"
    if shading == "TEXTURE":
        space.shading.color_type = "TEXTURE"
    return True


# ---- inside --------------------------------------------------------------------------------------------------------


def _views() -> Iterator[tuple[bpy.types.Window, bpy.types.Area]]:
    if not bpy.app.background:
        for window in bpy.context.window_manager.windows:
            yield from ((window, area) for area in window.screen.areas if area.type == "VIEW_3D")


def _size(view: tuple[bpy.types.Window, bpy.types.Area]) -> int:
    return view[1].width * view[1].height


def _shows(window: bpy.types.Window, space: bpy.types.SpaceView3D, materials: list[bpy.types.Material]) -> bool:
    shading = space.shading
    if shading.type == "RENDERED" and window.scene.render.engine == "BLENDER_WORKBENCH":
        return window.scene.display.shading.color_type == "TEXTURE"
    if shading.type in ("MATERIAL", "RENDERED"):
        return True
    if shading.type != "SOLID":
        return False
    painted = window.view_layer.objects.active  # Texture Paint shows only the painted object's textures
    return shading.color_type == "TEXTURE" or (painted is not None and painted.mode == "TEXTURE_PAINT"
                                               and any(slot.material in materials for slot in painted.material_slots))
