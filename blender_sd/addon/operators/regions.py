"""Edit the list of regions: add what is selected or clicked on, and show a region's mask."""
from __future__ import annotations

import logging
import threading
from typing import Any

import bpy
from bpy.props import EnumProperty
from bpy_extras import view3d_utils

from ... import scene
from ...calls import regions
from ...core.errors import SDError
from ...protocol.endings import unexpected
from ..regions import KINDS
from .. import opening, tick
from .start import first_refusal, refuse

log = logging.getLogger("blender_sd")

_NAVIGATION = {"MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "MOUSEROTATE",
               "MOUSESMARTZOOM", "MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "HOME"}
_LOOK = 0.1  # seconds between looks at a mask that is being made
_VIEWS = ("NUMPAD_", "NDOF_")  # how the names of other events that turn a view begin


class _OfSelected:
    """Base of the operators that work on the selected region."""

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.scene.sd.active_region() is not None, "Add a region first"))


class SD_OT_add_region(bpy.types.Operator):
    """Add a region for the active object: a part of the picture that is kept, or painted after words of its own"""

    bl_idname = "sd.add_region"
    bl_label = "Stable Diffusion: Add Region"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        region = context.scene.sd.add_region()
        region.thing = context.object
        return {"FINISHED"}


class SD_OT_remove_region(_OfSelected, bpy.types.Operator):
    """Take the selected region off the list"""

    bl_idname = "sd.remove_region"
    bl_label = "Remove Region"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def execute(self, context):
        settings = context.scene.sd
        settings.regions.remove(settings.region_index)
        settings.region_index = max(0, min(settings.region_index, len(settings.regions) - 1))
        return {"FINISHED"}


class SD_OT_pick_region(bpy.types.Operator):
    bl_description = ("Click on something in the 3D View to make it a region. The view can be turned meanwhile. Esc or "
                      "a right click ends it")

    bl_idname = "sd.pick_region"
    bl_label = "Stable Diffusion: Pick Region"
    bl_options = {"REGISTER", "UNDO"}

    kind: EnumProperty(name="Region", description="What of the thing that is clicked on becomes a region",
                       items=[item for item in KINDS if item[0] in ("OBJECT", "MATERIAL", "COLLECTION")])

    def invoke(self, context, _event):
        if not any(area.type == "VIEW_3D" for area in context.screen.areas):
            self.report({"WARNING"}, "Open a 3D View to click on something in it")
            return {"CANCELLED"}
        context.window.cursor_modal_set("EYEDROPPER")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type in _NAVIGATION or event.type.startswith(_VIEWS):
            return {"PASS_THROUGH"}  # the view can be turned to what is to be clicked on
        if event.type in {"ESC", "RIGHTMOUSE"}:
            context.window.cursor_modal_restore()
            return {"CANCELLED"}
        if event.type != "LEFTMOUSE" or event.value != "PRESS":
            return {"RUNNING_MODAL"}
        context.window.cursor_modal_restore()
        thing, material = _under(context, event.mouse_x, event.mouse_y)
        target = {"OBJECT": thing, "MATERIAL": material,
                  "COLLECTION": thing.users_collection[0] if thing and thing.users_collection else None}[self.kind]
        if target is None:
            self.report({"WARNING"}, "Nothing that can be a region is there")
            return {"CANCELLED"}
        region = context.scene.sd.add_region()
        region.kind = self.kind
        setattr(region, region.pointer, target)
        return {"FINISHED"}


class SD_OT_preview_region(_OfSelected, bpy.types.Operator):
    """Make a new image of the selected region's mask: white where it lies in the picture, black elsewhere"""

    bl_idname = "sd.preview_region"
    bl_label = "Stable Diffusion: Preview Region"
    bl_options = {"REGISTER"}

    def execute(self, context):
        settings = context.scene.sd
        try:
            source = scene.active_slot_image(context)[0] if settings.task == "TEXTURE" else settings.render_source
            region = settings.active_region().region_input()
            mask = regions.opened_mask(region, source)
        except SDError as error:
            return refuse(self, error)
        waiting = _Waiting(region[0].label, mask)
        if bpy.app.background:
            waiting.wait()
        else:
            bpy.app.timers.register(waiting.look, first_interval=_LOOK)
        return {"FINISHED"}


class _Waiting:
    """A mask that is made on a thread of its own, and then shown."""

    def __init__(self, label: str, mask: Any) -> None:
        self._label, self._mask, self._error = label, mask, None
        self._thread = threading.Thread(target=self._make, name="blender_sd mask", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            self._mask = self._mask() if callable(self._mask) else self._mask
        except Exception as error:  # whatever it is: the artist must read that there is no mask
            if not isinstance(error, SDError):
                log.exception("the mask of a region could not be made")
            self._error = unexpected(error)

    def look(self) -> float | None:
        """Show the mask once it is there, from a timer; return the seconds to the next look."""
        if self._thread.is_alive():
            return _LOOK
        self.wait()
        return None

    def wait(self) -> None:
        """Wait for the mask and show it, or say why there is none."""
        self._thread.join()
        if self._error is not None:
            refuse(None, self._error)
            return
        made = scene.mask_image(self._label, self._mask)
        scene.push_undo("Preview Region")
        opening.request(made)
        tick.soon()


def _under(context: bpy.types.Context, x: int, y: int) -> tuple[bpy.types.Object | None, bpy.types.Material | None]:
    """Return the object and the material at a place in the window, None where there is none."""
    for area in context.screen.areas:
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if area.type != "VIEW_3D" or region is None or not (
                0 <= x - region.x < region.width and 0 <= y - region.y < region.height):
            continue
        place, seen = (x - region.x, y - region.y), area.spaces.active.region_3d
        graph = context.evaluated_depsgraph_get()
        hit, _, _, face, thing, _ = context.scene.ray_cast(
            graph, view3d_utils.region_2d_to_origin_3d(region, seen, place),
            view3d_utils.region_2d_to_vector_3d(region, seen, place))
        if not hit:
            return None, None
        shape = thing.evaluated_get(graph).data
        slots = thing.material_slots
        number = shape.polygons[face].material_index if thing.type == "MESH" and face < len(shape.polygons) else 0
        return thing, slots[min(number, len(slots) - 1)].material if len(slots) else None
    return None, None


CLASSES = (SD_OT_add_region, SD_OT_remove_region, SD_OT_pick_region, SD_OT_preview_region)
