"""What Blender shows: properties, preferences, operators, panels, menus, and the timer. Thin: everything real is in `api`."""
from __future__ import annotations

import bpy

from .. import api
from . import controls, downloads, installing, keymap, menus, operators, panels, preferences, properties, state, tick

_CLASSES = (*controls.CLASSES, *properties.CLASSES, *state.CLASSES, *downloads.CLASSES, *installing.CLASSES,
            *preferences.CLASSES, *operators.CLASSES, *panels.CLASSES)
_PARTS = (properties, state, downloads, installing, menus, keymap, tick)  # registered in this order, unregistered in the opposite one


def register() -> None:
    """Adds everything to Blender. Starts nothing: the engine waits until the tab is first seen."""
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
