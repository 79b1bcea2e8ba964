"""Fix the causes of errors that need an operator of their own. `remedies.py` maps errors to buttons."""
from __future__ import annotations

import bpy

from ...core.declarations import find
from ..translations.words import translated
from .start import first_refusal

_PART, _GRID = 0.75, 64  # factor for a side; pixels: a multiple that all families accept


class SD_OT_smaller_picture(bpy.types.Operator):
    """Make the next picture three quarters as wide and high, which takes about half the memory"""

    bl_idname = "sd.smaller_picture"
    bl_label = "Stable Diffusion: Smaller Picture"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        settings, percentage = context.scene.sd, context.scene.render.resolution_percentage
        if settings.task == "TEXTURE":
            return first_refusal(cls, (False, "The picture is as large as the texture: choose or make a smaller one"))
        if settings.task == "RENDER":
            return first_refusal(
                cls,
                (settings.render_source != "VIEWPORT", "The picture is as large as the 3D View: make that smaller"),
                (percentage > 1, "The picture is as small as it can be"))
        return first_refusal(cls,
                             (max(settings.width, settings.height) > _GRID, "The picture is as small as it can be"))

    def execute(self, context):
        settings, render = context.scene.sd, context.scene.render
        if settings.task == "RENDER":
            percent = render.resolution_percentage = max(1, int(render.resolution_percentage * _PART))
            self.report({"INFO"}, translated(f"Renders are scaled to {percent} % now"))
        else:
            settings.width, settings.height = _smaller(settings.width, "width"), _smaller(settings.height, "height")
            self.report({"INFO"}, translated(f"Pictures are {settings.width} × {settings.height} now"))
        return {"FINISHED"}


def _smaller(side: int, name: str) -> int:
    """Return a smaller value for `side` (pixels), a multiple of the grid."""
    return max(int(side * _PART) // _GRID * _GRID, min(side, _GRID), int(find(name).setting.low))


CLASSES = (SD_OT_smaller_picture,)
