"""Return the add-on's preferences. Separate from `preferences`, whose many imports would cause circles."""
from __future__ import annotations

import bpy

PACKAGE = __package__.rpartition(".")[0]  # the add-on's id


def get() -> bpy.types.AddonPreferences | None:
    """Return this add-on's preferences; None if it runs as a plain module that was never enabled as an add-on."""
    entry = bpy.context.preferences.addons.get(PACKAGE)
    return entry.preferences if entry else None
