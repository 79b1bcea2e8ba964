"""The list of controls, and a control's picture to look at before it is used."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ... import api, scene
from ...protocol.errors import SDError
from .start import first_refusal, refuse


class _OfSelected:
    """What works on the selected control."""

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.scene.sd.active_control() is not None, "Add a control first"))


class SD_OT_add_control(bpy.types.Operator):
    """Add a ControlNet, which keeps all that is painted to the structure of a picture"""

    bl_idname = "sd.add_control"
    bl_label = "Stable Diffusion: Add Control"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        settings = context.scene.sd
        settings.controls.add()
        settings.control_index = len(settings.controls) - 1
        return {"FINISHED"}


class SD_OT_remove_control(_OfSelected, bpy.types.Operator):
    """Take the selected control off the list"""

    bl_idname = "sd.remove_control"
    bl_label = "Remove Control"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def execute(self, context):
        settings = context.scene.sd
        settings.controls.remove(settings.control_index)
        settings.control_index = max(0, min(settings.control_index, len(settings.controls) - 1))
        return {"FINISHED"}


class SD_OT_move_control(bpy.types.Operator):
    """Move the selected control in the list"""

    bl_idname = "sd.move_control"
    bl_label = "Move Control"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    direction: EnumProperty(name="Direction", description="Where the control moves to", items=(
        ("UP", "Up", "Towards the beginning of the list"), ("DOWN", "Down", "Towards the end of the list")))

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (len(context.scene.sd.controls) > 1, "There is nothing to change places with"))

    def execute(self, context):
        settings = context.scene.sd
        place = settings.control_index + (-1 if self.direction == "UP" else 1)
        if not 0 <= place < len(settings.controls):
            return {"CANCELLED"}
        settings.controls.move(settings.control_index, place)
        settings.control_index = place
        return {"FINISHED"}


class SD_OT_preview_control(_OfSelected, bpy.types.Operator):
    """Make the selected control's picture as a new image and show it in the Image Editor, if one is open"""

    bl_idname = "sd.preview_control"
    bl_label = "Stable Diffusion: Preview Control Image"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        settings = context.scene.sd
        control = settings.active_control()
        try:
            image = api.control_image(control.kind, control.picture(), (settings.width, settings.height))
        except SDError as error:
            return refuse(self, error)
        scene.show_in_editor(image)
        self.report({"INFO"}, f"The control picture is the image '{image.name}'.")
        return {"FINISHED"}


CLASSES = (SD_OT_add_control, SD_OT_remove_control, SD_OT_move_control, SD_OT_preview_control)
