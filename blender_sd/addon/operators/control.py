"""The control picture, to look at before it is used."""
from __future__ import annotations

import bpy

from ... import api, scene
from ...protocol.errors import SDError
from .start import refuse


class SD_OT_preview_control(bpy.types.Operator):
    """Make the control picture as a new image and show it in the Image Editor, if one is open"""

    bl_idname = "sd.preview_control"
    bl_label = "Preview Control Image"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        settings = context.scene.sd
        try:
            image = api.control_image(settings.control_kind, settings.control_picture(), (settings.width, settings.height))
        except SDError as error:
            return refuse(self, error)
        scene.show_in_editor(image)
        self.report({"INFO"}, f"The control picture is the image '{image.name}'.")
        return {"FINISHED"}


CLASSES = (SD_OT_preview_control,)
