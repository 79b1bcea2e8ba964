"""Switch live mode on and off, and keep its picture."""
from __future__ import annotations

import bpy

from ...core.errors import SDError
from ...core.tasks import IMAGE_TO_IMAGE
from .. import live, tick
from .start import can_do, first_refusal, refuse


class SD_OT_live(bpy.types.Operator):
    bl_description = ("Restyle this 3D View, or the texture on the mesh, again and again while you work. The pictures "
                      "lie over it; only Keep saves one")

    bl_idname = "sd.live"
    bl_label = "Stable Diffusion: Live Mode"

    @classmethod
    def poll(cls, context):
        if live.running():
            return True
        in_view = context.area is not None and context.area.type == "VIEW_3D"
        return first_refusal(cls, (in_view, "Start live mode from a 3D View")) and can_do(cls, context, IMAGE_TO_IMAGE)

    def execute(self, context):
        if live.running():
            live.stop()
        else:
            live.start(context.area.spaces.active)
        tick.soon()
        return {"FINISHED"}


class SD_OT_keep_live(bpy.types.Operator):
    bl_description = ("Keep the live picture: it is painted once more, into the output folder and as a new image that "
                      "carries its settings")

    bl_idname = "sd.keep_live"
    bl_label = "Stable Diffusion: Keep Live Picture"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.window_manager.sd_live.picture, "Wait until live mode shows a picture"))

    def execute(self, _context):
        try:
            live.keep()
        except SDError as error:
            return refuse(self, error)
        tick.soon()
        return {"FINISHED"}


CLASSES = (SD_OT_live, SD_OT_keep_live)
