"""Esc cancels the running job, wherever the mouse is; with no job, the operator's poll lets Esc through."""
from __future__ import annotations

import bpy

_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    config = bpy.context.window_manager.keyconfigs.addon
    if config is None:  # background mode has none
        return
    keymap = config.keymaps.new(name="Window", space_type="EMPTY")
    _items.append((keymap, keymap.keymap_items.new("sd.cancel", "ESC", "PRESS")))


def unregister() -> None:
    for keymap, item in _items:
        keymap.keymap_items.remove(item)
    _items.clear()
