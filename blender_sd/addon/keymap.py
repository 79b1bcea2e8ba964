"""The add-on's keys. Each can be changed in its preferences, which list them.

Esc cancels the running job, wherever the mouse is; with no job, the operator's poll lets Esc through. The others are free in
Blender's own keymap from 4.2 to 5.2 (`tests/blender/addon/test_addon_keys.py`).
"""
from __future__ import annotations

import bpy
import rna_keymap_ui

from .layout import PIE, POPOVER

_EDITORS = (("3D View", "VIEW_3D"), ("Image", "IMAGE_EDITOR"), ("Node Editor", "NODE_EDITOR"))
_KEYS = (  # operator, its name property, key, modifiers
    ("wm.call_menu_pie", PIE, "I", {"ctrl": True, "shift": True}),
    ("wm.call_panel", POPOVER, "I", {"ctrl": True, "shift": True, "alt": True}),
)
_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    config = bpy.context.window_manager.keyconfigs.addon
    if config is None:  # background mode has none
        return
    keymap = config.keymaps.new(name="Window", space_type="EMPTY")
    _items.append((keymap, keymap.keymap_items.new("sd.cancel", "ESC", "PRESS")))
    for name, space in _EDITORS:
        keymap = config.keymaps.new(name=name, space_type=space)
        for operator, shown, key, modifiers in _KEYS:
            item = keymap.keymap_items.new(operator, key, "PRESS", **modifiers)
            item.properties.name = shown
            _items.append((keymap, item))


def unregister() -> None:
    for keymap, item in _items:
        keymap.keymap_items.remove(item)
    _items.clear()


def draw(context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
    """The keys as the person has them, each to be changed, as in Blender's own Keymap preferences."""
    config = context.window_manager.keyconfigs.user
    for keymap, item in _items:
        mine = config.keymaps.get(keymap.name)
        found = next((one for one in mine.keymap_items if _same(one, item)), None) if mine is not None else None
        if found is not None:
            column = layout.column()
            column.context_pointer_set("keymap", mine)
            rna_keymap_ui.draw_kmi([], config, mine, found, column, 0)


def _same(one: bpy.types.KeyMapItem, item: bpy.types.KeyMapItem) -> bool:
    """Whether the person's `one` is our `item`, whatever key it has now."""
    return one.idname == item.idname and (
        one.properties is None or getattr(one.properties, "name", None) == getattr(item.properties, "name", None))
