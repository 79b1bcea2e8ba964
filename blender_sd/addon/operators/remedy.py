"""What helps against an error and needs an operator of its own; `remedies.py` says which button goes with which error."""
from __future__ import annotations

import bpy

from ...protocol.request import setting
from .start import first_refusal

_PART, _GRID = 0.75, 64  # of a side's length; pixels that all families divide by


class SD_OT_smaller_picture(bpy.types.Operator):
    """Make Width and Height three quarters as large, which takes about half the memory"""

    bl_idname = "sd.smaller_picture"
    bl_label = "Stable Diffusion: Smaller Picture"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.sd
        return first_refusal(cls, (max(settings.width, settings.height) > _GRID, "The picture is as small as it can be"))

    def execute(self, context):
        settings = context.scene.sd
        settings.width, settings.height = _smaller(settings.width, "width"), _smaller(settings.height, "height")
        self.report({"INFO"}, f"Pictures are {settings.width} × {settings.height} now")
        return {"FINISHED"}


def _smaller(side: int, name: str) -> int:
    """`side` (pixels) made smaller, in whole steps of the grid."""
    return max(int(side * _PART) // _GRID * _GRID, min(side, _GRID), int(setting(name).low))


CLASSES = (SD_OT_smaller_picture,)
