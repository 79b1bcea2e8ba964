"""What the tab, the popover and the Properties editor all show: prompt, strength, button, progress and messages, written once."""
from __future__ import annotations

import bpy

from ... import scene
from ...protocol.errors import EngineMissing
from ...protocol.families import Family
from ...protocol.request import IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from .. import preferences, remedies
from ..layout import failure, wrapped
from .base import show_image, split

TASKS = {"TEXT": TEXT_TO_IMAGE, "TEXTURE": IMAGE_TO_IMAGE, "RENDER": IMAGE_TO_IMAGE}  # the panel's task -> the model's
_BUTTONS = {  # the panel's task -> operator, words, icon
    "TEXT": ("sd.generate", "Generate", "IMAGE_DATA"),
    "TEXTURE": ("sd.retexture", "Retexture Slot", "NODE_TEXTURE"),
    "RENDER": ("sd.restyle", "Restyle", "RENDER_STILL"),
}
_PROMPT_LINES = 5  # of a text block, in the panel


def draw_prompt(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family) -> None:
    """The prompt, as a field or as the first lines of its text block, and what to leave out."""
    settings = context.scene.sd
    column = layout.column(align=True)
    if settings.prompt_text is None:
        row = column.row(align=True)
        row.scale_y = 1.4
        row.prop(settings, "prompt", text="", placeholder="Describe the texture" if settings.task == "TEXT" else "Describe the new look")
        row.operator("sd.edit_prompt", text="", icon="TEXT")
    else:
        box = column.box()
        words = scene.prompt_in(settings.prompt_text, limit=1000)
        wrapped(box, context, words or "The text block is empty: press Edit and type the prompt.", most=_PROMPT_LINES, translate=not words)
        row = column.row(align=True)
        row.prop(settings, "prompt_text", text="")
        row.operator("sd.edit_prompt", text="Edit", icon="GREASEPENCIL")
        row.operator("sd.prompt_to_field", text="", icon="LOOP_BACK")
    row = column.split(factor=0.72, align=True) if family.negative and family.loras else column.row(align=True)
    if family.negative:
        row.prop(settings, "negative", text="", placeholder="What to leave out")
    if family.loras:
        row.operator("sd.add_lora", text="LoRA", icon="ADD")


def draw_task(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family, task: str) -> None:
    """What the task starts from and goes to, how far it departs from that, and the seed."""
    settings = context.scene.sd
    if task == "TEXTURE":
        show_image(layout, context, scene.active_slot_image)
    column = split(layout)
    if task == "TEXT":
        column.prop(settings, "target")
    elif task == "RENDER":
        row = column.row(align=True)
        row.prop(settings, "render_source")
        row.prop(settings, "camera_background", text="", icon="CAMERA_DATA")
    if task != "TEXT" and family.strength:
        column.prop(settings, "slot_strength" if task == "TEXTURE" else "render_strength", slider=True)
    draw_seed(column, context)


def draw_seed(column: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.sd
    row = column.row(align=True)
    row.prop(settings, "seed")
    row.prop(settings, "random_seed", text="", icon="FILE_REFRESH")


def draw_button(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family, task: str) -> None:
    """The button that starts `task`, and under it, always as high, the bar of what is running or the engine's state."""
    state = context.window_manager.sd
    operator, words, icon = _BUTTONS[task]
    column = layout.column(align=True)
    row = column.row()
    row.scale_y = 1.8
    row.operator(operator, text="Add to Queue" if state.active else words, icon=icon)
    row = column.row(align=True)
    row.scale_y = 1.2
    if state.active:
        row.progress(factor=state.progress, text=state.progress_text)
        row.operator("sd.cancel", text="", icon="X")
    else:
        text = {"off": "Engine starts with the first job", "starting": "Engine is starting…",
                "failed": "The engine cannot run"}.get(state.engine, state.engine_text)
        row.label(text=text, icon={"ready": "CHECKMARK", "failed": "ERROR"}.get(state.engine, "TIME"))
    refusal = family.refusal(TASKS[task])
    if refusal:
        wrapped(layout, context, f"{refusal} Choose another model or another task.", "INFO")


def draw_messages(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What went wrong and what helps, and what the last job has to say: below all that is typed into, so that nothing there moves."""
    state = context.window_manager.sd
    if state.error:
        draw_remedies(failure(layout, context, state.error, state.hint, "sd.dismiss"), state.error_kind)
    if state.engine == "failed" and state.engine_text != f"{state.error} {state.hint}".strip():  # else it was said just above
        box = layout.box()
        wrapped(box, context, state.engine_text, "ERROR")
        draw_remedies(box, EngineMissing.kind)
    if state.notes:
        column = layout.column()
        for note in state.notes.split("\n"):
            wrapped(column, context, note, "INFO")


def draw_remedies(layout: bpy.types.UILayout, kind: str) -> None:
    """A button for each operator that helps against an error of that kind."""
    row = layout.row(align=True)
    for remedy in remedies.of(kind):
        if remedy.operator == "preferences.addon_show" and preferences.get() is None:
            continue  # a plain module, which was never enabled as an add-on, has none
        button = row.operator(remedy.operator, text=remedy.label, icon=remedy.icon)
        for name, value in remedy.settings.items():
            setattr(button, name, value)
