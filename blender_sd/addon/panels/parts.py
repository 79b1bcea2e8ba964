"""Draw what the tab, the popover and the Properties editor share: prompt, strength, button, progress and messages."""
from __future__ import annotations

from collections.abc import Callable

import bpy

from ... import scene
from ...calls import models
from ...core.declarations import in_group
from ...core.errors import EngineMissing, SDError
from ...core.families import Family
from ...core.settings import SHARE
from ...core.tasks import IMAGE_TO_IMAGE, TASKS as CORE_TASKS, TEXT_TO_IMAGE
from .. import lora_notes, outcome, preference_access, remedies, task_prompts, visible
from ..layout import failure, wrapped
from ..translations.words import translated
from .base import show_image, split
from .vocabulary import draw_unknown_words

TASKS = {"TEXT": TEXT_TO_IMAGE, "TEXTURE": IMAGE_TO_IMAGE, "RENDER": IMAGE_TO_IMAGE}  # the panel's task -> the model's
_BUTTONS = {  # the panel's task -> operator, words, icon
    "TEXT": ("sd.generate", "Generate", "IMAGE_DATA"),
    "TEXTURE": ("sd.retexture", "Retexture Slot", "NODE_TEXTURE"),
    "RENDER": ("sd.restyle", "Restyle", "RENDER_STILL"),
}
_ORIGINS = {task_prompts.IMAGE: "The prompt that made this image", task_prompts.MAIN: "The main prompt"}
_PROMPT_LINES = 5  # of a text block, in the panel
_PROMPT_SHOWN = 4000  # characters of a text block that are looked at while drawing


def draw_prompt(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family) -> None:
    """Draw the prompt, as a field or as the first lines of its text block, and the negative prompt."""
    settings = context.scene.sd
    column = layout.column(align=True)
    if settings.prompt_text is None:
        row = column.row(align=True)
        row.scale_y = 1.4
        row.prop(settings, "prompt", text="",
                 placeholder="Describe the texture" if settings.task == "TEXT" else "Describe the new look")
        if models.known_vocabulary(settings.model) is not None:
            row.menu("SD_MT_words", text="", icon="COLOR")
        row.operator("sd.edit_prompt", text="", icon="TEXT")
    else:
        box = column.box()
        prompt = scene.prompt_in(settings.prompt_text, limit=1000)
        empty = "The text block is empty: press Edit and type the prompt."
        wrapped(box, context, prompt or empty, most=_PROMPT_LINES, translate=not prompt)
        row = column.row(align=True)
        row.prop(settings, "prompt_text", text="")
        row.operator("sd.edit_prompt", text=translated("Edit"), icon="GREASEPENCIL")
        row.operator("sd.prompt_to_field", text="", icon="LOOP_BACK")
    draw_unknown_words(column, context)
    row = column.split(factor=0.72, align=True) if family.negative and family.loras else column.row(align=True)
    if family.negative:
        row.prop(settings, "negative", text="", placeholder="What to leave out")
    if family.loras:
        row.operator("sd.add_lora", text="LoRA", icon="ADD")
    lora_notes.draw(column, context, main_prompt(context))


def main_prompt(context: bpy.types.Context) -> str:
    """Return the prompt of the field or the text block, its beginning if it is very long."""
    settings = context.scene.sd
    return settings.prompt if settings.prompt_text is None else scene.prompt_in(settings.prompt_text, _PROMPT_SHOWN)


def draw_own_prompt(layout: bpy.types.UILayout, context: bpy.types.Context, task: str,
                    find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
    """Draw the prompt of a task on the image that `find` returns.

    While the field is empty, the prompt that applies instead is shown in it in grey, and its origin below.
    """
    try:
        image = find(context)[0]
    except SDError:  # the panel shows why
        image = None
    settings = context.scene.sd
    shown = task_prompts.shown(settings, task, image)
    column = layout.column(align=True)
    row = column.row(align=True)
    row.prop(settings, CORE_TASKS[task].own_prompt, text="", placeholder=shown.text
             or translated("Describe the new look"), translate=False)
    row.operator("sd.edit_own_prompt", text="",
                 icon="GREASEPENCIL" if shown.origin != task_prompts.OWN else "X").task = task.upper()
    lora_notes.draw(column, context, shown.text)
    if shown.origin in _ORIGINS and shown.text:
        wrapped(column, context, _ORIGINS[shown.origin], "INFO")
    if shown.style:
        row = column.row()
        row.label(text="In the style:", icon="BRUSHES_ALL")
        row.label(text=shown.style, translate=False)


def draw_settings(column: bpy.types.UILayout, settings: bpy.types.PropertyGroup, group: str, family: Family) -> None:
    """Draw the declared settings of a group, as far as the model's family has them; grey where another one switches
    them off."""
    items = {item.name: item for item in in_group(group)}
    for item in items.values():
        if not item.setting.needs or getattr(family, item.setting.needs):
            row = column.row()
            if master := items.get(item.setting.only_with):
                row.active = getattr(settings, master.prop) != master.default
            empty = {"placeholder": item.setting.placeholder} if item.setting.placeholder else {}
            row.prop(settings, item.prop, slider=item.setting.unit == SHARE, **empty)


def draw_task(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family, task: str) -> None:
    """Draw the task's source and target, its strength, and the seed."""
    settings = context.scene.sd
    if task == "TEXTURE":
        show_image(layout, context, scene.active_slot_image)
    column = split(layout)
    if task == "TEXT":
        _draw_target(column, context)
    elif task == "RENDER":
        column.prop(settings, "render_source")
        if settings.render_source != "VIEWPORT":
            row = column.row(heading="Show in Camera")
            row.prop(settings, "camera_background", text="")
            opacity = row.row()
            opacity.active = settings.camera_background
            opacity.prop(settings, "camera_opacity", slider=True, text="Opacity")
    if task != "TEXT" and family.strength:
        column.prop(settings, "slot_strength" if task == "TEXTURE" else "render_strength", slider=True)
    draw_seed(column, context)


def _draw_target(column: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the target and what Automatic resolves to; if the object cannot take a picture, why, and what to do."""
    settings = context.scene.sd
    column.prop(settings, "target")
    owner, refusal = outcome.goal(context, settings.target)
    if refusal:
        box = column.box()
        wrapped(box, context, refusal, "INFO")
        if settings.target != "SLOT":
            box.prop_enum(settings, "target", "NEW")
    elif settings.target == "AUTO" and not settings.use_grid:
        row = column.row()
        row.active, row.alignment = False, "RIGHT"  # under the field
        row.label(text=translated(f"Base color of {owner}" if owner else "A new image"),
                  icon="MATERIAL" if owner else "IMAGE_DATA")


def draw_seed(column: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.sd
    row = column.row(align=True)
    number = row.row(align=True)
    number.active = not settings.large_seed
    number.prop(settings, "seed")
    row.prop(settings, "random_seed", text="", icon="FILE_REFRESH")
    if settings.large_seed:
        column.prop(settings, "large_seed")


def draw_button(layout: bpy.types.UILayout, context: bpy.types.Context, family: Family, task: str) -> None:
    """Draw progress, or the engine's state, and below it the button that starts `task`.

    The bar has a constant height and is above the button, whose tooltip opens below the mouse and would cover it.
    """
    state = context.window_manager.sd
    operator, label, icon = _BUTTONS[task]
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.2
    if state.active:
        row.progress(factor=state.progress, text=translated(state.progress_text))
        row.operator("sd.cancel", text="", icon="X")
    else:
        text = {"off": "Engine starts with the first job", "starting": "Engine is starting…",
                "failed": "The engine cannot run"}.get(state.engine, state.engine_text)
        row.label(text=translated(text), icon={"ready": "CHECKMARK", "failed": "ERROR"}.get(state.engine, "TIME"))
    row = column.row(align=True)
    row.scale_y = 1.8
    row.operator(operator, text=translated("Add to Queue" if state.active else label), icon=icon)
    if state.waiting:
        waiting = row.row()
        waiting.ui_units_x = 4
        waiting.label(text=translated(f"{state.waiting} waiting"))
    refusal = family.refusal(TASKS[task])
    if refusal:
        wrapped(layout, context, f"{refusal} Choose another model or another task.", "INFO")


def draw_messages(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the newest result's target, errors with their remedies, and the last job's notes but those that are beside
    a LoRA of the prompt.

    They are below all fields, so that no field moves.
    """
    state = context.window_manager.sd
    if state.outcome:
        wrapped(layout, context, state.outcome, "CHECKMARK")
    visible.draw(layout, context)
    if state.error:
        draw_remedies(failure(layout, context, state.error, state.hint, "sd.dismiss"), state.error_kind)
    shown_above = f"{state.error} {state.hint}".strip()
    if state.engine == "failed" and state.engine_text != shown_above:
        box = layout.box()
        wrapped(box, context, state.engine_text, "ERROR")
        draw_remedies(box, EngineMissing.kind)
    above = {text for _, text, _ in lora_notes.of(context.scene.sd.model, main_prompt(context))}
    notes = [note for note in state.notes.split("\n") if note and note not in above]
    if notes:
        column = layout.column()
        for note in notes:
            wrapped(column, context, note, "INFO")


def draw_download(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the progress or the error of the newest download of a model; nothing if there is neither."""
    shown = context.window_manager.sd_hub
    if shown.running:
        row = layout.row(align=True)
        row.scale_y = 1.2
        row.progress(factor=shown.progress, text=translated(shown.text))
        row.operator("sd.cancel_fetch", text="", icon="X")
    elif shown.error:
        draw_remedies(failure(layout, context, shown.error, shown.hint), shown.error_kind)
    elif shown.unaccepted:
        wrapped(layout, context, "The download waits until you accept the licence: open Get Models.", "INFO")


def draw_remedies(layout: bpy.types.UILayout, kind: str) -> None:
    """Draw a button for each operator that helps against errors of that kind."""
    row = layout.row(align=True)
    for remedy in remedies.of(kind):
        if remedy.operator == "preferences.addon_show" and preference_access.get() is None:
            continue  # a plain module that was never enabled as an add-on has no preferences
        button = row.operator(remedy.operator, text=translated(remedy.label), icon=remedy.icon)
        for name, value in remedy.settings.items():
            setattr(button, name, value)
