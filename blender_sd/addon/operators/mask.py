"""Paint a mask over its picture: start, finish, and change it as a whole."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ... import scene
from ...core.errors import SDError
from .start import can_find, first_refusal, refuse


class SD_OT_new_mask(bpy.types.Operator):
    """Paint in white over what Inpaint should change, in the Image Editor and on the object. Ctrl erases"""

    bl_idname = "sd.new_mask"
    bl_label = "Stable Diffusion: Paint Inpaint Mask"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, _maskable, context)

    def execute(self, context):
        try:
            scene.start_painting(context)
        except SDError as error:
            return refuse(self, error)
        context.scene.sd.mask_source = "PAINTED"
        return {"FINISHED"}


class SD_OT_finish_mask(bpy.types.Operator):
    """Stop painting the mask. It stays with the picture; brush, canvas, mode and editors become what they were"""

    bl_idname = "sd.finish_mask"
    bl_label = "Stable Diffusion: Finish the Mask"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return _painting(cls, context)

    def execute(self, context):
        scene.finish_painting(context)
        return {"FINISHED"}


class SD_OT_change_mask(bpy.types.Operator):
    """Clear or invert the whole mask"""

    bl_idname = "sd.change_mask"
    bl_label = "Stable Diffusion: Clear or Invert the Mask"
    bl_options = {"REGISTER", "UNDO"}

    how: EnumProperty(name="Change", description="What becomes of the mask", options={"SKIP_SAVE"}, items=(
        ("CLEAR", "Clear", "Nothing is masked"),
        ("INVERT", "Invert", "What was masked stays, and everything else is painted")))

    @classmethod
    def poll(cls, context):
        return _painting(cls, context)

    @classmethod
    def description(cls, _context, properties):
        items = cls.bl_rna.properties["how"].enum_items
        return bpy.app.translations.pgettext_tip(items[properties.how].description)

    def execute(self, context):
        scene.change_mask(context, invert=self.how == "INVERT")
        return {"FINISHED"}


def _maskable(context: bpy.types.Context) -> None:
    """Raise SDError if no mask can be painted."""
    scene.check_maskable(scene.masked_image(context)[0])


def _painting(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    return first_refusal(
        cls, (scene.painted_image(context.scene) is not None, "No mask is being painted: click Paint Mask first"))


CLASSES = (SD_OT_new_mask, SD_OT_finish_mask, SD_OT_change_mask)
