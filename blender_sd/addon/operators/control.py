"""Edit the list of controls, and preview a control's picture before it is used."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ... import scene
from ...calls import control_images, models
from ...core.errors import SDError
from ...core.request import round_size
from .. import opening, tick
from .start import first_refusal, refuse


class _OfSelected:
    """Base of the operators that work on the selected control."""

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
    """Make a new image of what the selected control gives to the model: in the size and the frame of the next result"""

    bl_idname = "sd.preview_control"
    bl_label = "Stable Diffusion: Preview Control Image"
    bl_options = {"REGISTER"}

    def execute(self, context):
        control = context.scene.sd.active_control()
        try:
            made = control_images.preview_control(control.kind, control.picture(), _result_size(context))
        except SDError as error:
            return refuse(self, error)
        if isinstance(made, bpy.types.Image):
            scene.push_undo("Preview Control Image")
            opening.request(made)
        else:
            opening.expect(made)
        tick.soon()
        return {"FINISHED"}


def _result_size(context: bpy.types.Context) -> tuple[int, int]:
    """Return the size (width, height) in pixels that the panel's button would paint now.

    Raises:
        SDError: There is no image to paint over.
    """
    settings = context.scene.sd
    if settings.task == "TEXTURE":
        return scene.size_of(scene.active_slot_image(context)[0])
    if settings.task == "RENDER":
        return scene.source_size(settings.render_source)
    info = models.find_model(settings.model)
    return round_size(settings.width, settings.height, info.multiple)


CLASSES = (SD_OT_add_control, SD_OT_remove_control, SD_OT_move_control, SD_OT_preview_control)
