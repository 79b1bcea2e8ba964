"""What Blender shows: properties, preferences, operators, panels, menus, and the timer. Thin: everything real is in `api`."""
from __future__ import annotations

import bpy

from .. import api, config
from . import (
    controls,
    downloads,
    history,
    installing,
    keymap,
    live,
    live_settings,
    menus,
    operators,
    panels,
    preferences,
    presets,
    properties,
    safeguards,
    state,
    tick,
    translations,
    wipe,
)

_CLASSES = (*controls.CLASSES, *properties.CLASSES, *state.CLASSES, *live_settings.CLASSES, *downloads.CLASSES, *installing.CLASSES,
            *history.CLASSES, *preferences.CLASSES, *operators.CLASSES, *presets.CLASSES, *panels.CLASSES, *wipe.CLASSES,
            *menus.CLASSES)
# Registered in this order, unregistered in the opposite one.
_PARTS = (translations, properties, state, live_settings, downloads, installing, safeguards, history, wipe, menus, keymap, live, tick)


def register() -> None:
    """Adds everything to Blender. Starts nothing: the engine waits until the tab is first seen."""
    config.start_log()
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    for part in _PARTS:
        part.register()
    preferences.apply()


def unregister() -> None:
    """Stops the engine and takes everything away again."""
    for part in reversed(_PARTS):
        part.unregister()
    api.shutdown()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    config.stop_log()
