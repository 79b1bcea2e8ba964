"""Define Blender's interface: properties, preferences, operators, panels, menus, the timer. The work is in `calls`."""
from __future__ import annotations

import bpy

from ..calls import job_queue
from ..calls.runtime import runtime
from . import (
    animation,
    causes,
    command_line,
    controls,
    downloads,
    history,
    image_origin,
    installation,
    keymap,
    live,
    live_settings,
    lora_notes,
    marking,
    mask_painting,
    menus,
    model_choices,
    operators,
    panels,
    policy,
    preferences,
    presets,
    properties,
    regions,
    render_restyling,
    state,
    status_bar,
    style_icons,
    task_prompts,
    texture_choices,
    tick,
    translations,
    view_strip,
    visible,
    wipe,
)

_CLASSES = (*controls.CLASSES, *regions.CLASSES, *animation.CLASSES, *properties.CLASSES,
            *mask_painting.CLASSES, *state.CLASSES, *live_settings.CLASSES, *model_choices.CLASSES, *downloads.CLASSES,
            *installation.CLASSES, *history.CLASSES, *preferences.CLASSES, *operators.CLASSES, *presets.CLASSES,
            *panels.CLASSES, *wipe.CLASSES, *visible.CLASSES, *menus.CLASSES)
# Registered in this order, unregistered in the opposite one.
_PARTS = (translations, properties, mask_painting, state, live_settings, model_choices, downloads, installation, policy,
          history, image_origin, task_prompts, wipe, menus, status_bar, keymap, marking, command_line, causes, live,
          style_icons, lora_notes, animation, texture_choices, view_strip, render_restyling, tick)


def register() -> None:
    """Add everything to Blender. The engine starts only when the tab is first seen."""
    runtime.start_log()
    runtime.scene  # noqa: B018 (asks from now on whether pictures are marked)
    for cls in _CLASSES:
        translations.claim(cls)
        bpy.utils.register_class(cls)
    for part in _PARTS:
        part.register()
    preferences.restore()
    preferences.apply()


def unregister() -> None:
    """Stop the engine and remove everything."""
    for part in reversed(_PARTS):
        part.unregister()
    job_queue.shutdown()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    runtime.stop_log()
