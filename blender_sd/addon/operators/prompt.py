"""The prompt in a text block, where long prompts are pleasant to write, and back in its field."""
from __future__ import annotations

import bpy

from ... import scene
from .start import first_refusal


class SD_OT_edit_prompt(bpy.types.Operator):
    """Write the prompt in a Text Editor, on many lines. A text block takes over the field's words and counts from then on"""

    bl_idname = "sd.edit_prompt"
    bl_label = "Stable Diffusion: Edit Prompt in Text Editor"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        settings = context.scene.sd
        if settings.prompt_text is None:
            settings.prompt_text = scene.prompt_text(settings.prompt.strip())
        scene.show_text(settings.prompt_text)
        return {"FINISHED"}


class SD_OT_prompt_to_field(bpy.types.Operator):
    """Type the prompt into a field of the panel again. The text block's words move there as one line; the block stays in the file"""

    bl_idname = "sd.prompt_to_field"
    bl_label = "Stable Diffusion: Prompt Back into the Field"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.scene.sd.prompt_text is not None, "The prompt is in the field already"))

    def execute(self, context):
        settings = context.scene.sd
        settings.prompt, settings.prompt_text = settings.words(), None
        return {"FINISHED"}


CLASSES = (SD_OT_edit_prompt, SD_OT_prompt_to_field)
