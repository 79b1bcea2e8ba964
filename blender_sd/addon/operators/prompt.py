"""Move the prompt to a text block, where long prompts are easier to write, and back to its field."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from ... import scene
from ...calls import models
from ...core.errors import SDError
from ...core.tasks import TASKS
from ...core.vocabulary import KINDS
from .. import task_prompts
from .start import first_refusal, refuse


class SD_OT_edit_prompt(bpy.types.Operator):
    bl_description = ("Write the prompt in a Text Editor, on many lines. A text block takes over the field's words and "
                      "counts from then on")

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
    bl_description = ("Type the prompt into a field of the panel again. The text block's words move there as one line; "
                      "the block stays in the file")

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


class SD_OT_edit_own_prompt(bpy.types.Operator):
    """Put the prompt that applies now into this field to edit it; where the field has words already, empty it again"""

    bl_idname = "sd.edit_own_prompt"
    bl_label = "Stable Diffusion: Edit the Prompt of a Task"
    bl_options = {"REGISTER", "UNDO"}

    task: EnumProperty(
        name="Task", description="Whose prompt it is", options={"SKIP_SAVE"},
        items=[(name.upper(), task.label, task.prompt_tip) for name, task in TASKS.items() if task.own_prompt])

    def execute(self, context):
        settings, task = context.scene.sd, self.task.lower()
        if getattr(settings, TASKS[task].own_prompt).strip():
            setattr(settings, TASKS[task].own_prompt, "")
            return {"FINISHED"}
        find = scene.masked_image if TASKS[task].of_a_part else scene.active_slot_image
        try:
            setattr(settings, TASKS[task].own_prompt, task_prompts.words_of(settings, task, find(context)[0]).text)
        except SDError as error:
            return refuse(self, error)
        return {"FINISHED"}


class SD_OT_write_word(bpy.types.Operator):
    """Write this word into the prompt, in place of the one of its kind that stands there"""

    bl_idname = "sd.write_word"
    bl_label = "Write into Prompt"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    kind: EnumProperty(name="Kind", items=[(kind, kind.capitalize(), f"A word for the {kind}") for kind in KINDS],
                       description=("What the word says: the material, its colour, condition, size, wear or contrast"))
    word: StringProperty(name="Word", description="The word or phrase to write")

    @classmethod
    def poll(cls, context):
        settings = context.scene.sd
        return first_refusal(cls, (settings.prompt_text is None, "The prompt is in a text block: type it there"),
                             (models.known_vocabulary(settings.model) is not None, "This model has no list of words"))

    def execute(self, context):
        settings = context.scene.sd
        settings.prompt = models.known_vocabulary(settings.model).write(settings.prompt, self.kind, self.word)
        return {"FINISHED"}


CLASSES = (SD_OT_edit_prompt, SD_OT_prompt_to_field, SD_OT_edit_own_prompt, SD_OT_write_word)
