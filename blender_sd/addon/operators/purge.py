"""Remove images that newer results have replaced from the file."""
from __future__ import annotations

import bpy

from ...calls import placing


class SD_OT_purge_replaced(bpy.types.Operator):
    """Remove the images that results have replaced in this file and that nothing uses any more"""

    bl_idname = "sd.purge_replaced"
    bl_label = "Stable Diffusion: Purge Replaced Images"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, _context):
        names = placing.purge_replaced()
        if not names:
            self.report({"INFO"}, "There are no replaced images to remove")
            return {"CANCELLED"}
        self.report({"INFO"}, "The replaced images were removed")
        return {"FINISHED"}


CLASSES = (SD_OT_purge_replaced,)
