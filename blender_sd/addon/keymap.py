"""Add the add-on's keys. Each can be changed in its preferences, which list them.

Esc cancels the running job wherever the mouse is, if it stops nothing else (`escape.py`); without a job, the operator's
poll lets Esc through. While a mask is painted, Esc ends that first. Blender's own keymap does not use the other keys
from 4.2 to 5.2 (`tests/addon/test_keymap.py`).
"""
from __future__ import annotations

import sys
from collections.abc import Iterable

import bpy
import rna_keymap_ui

from .layout import POPOVER

_EDITORS = (("3D View", "VIEW_3D"), ("Image", "IMAGE_EDITOR"), ("Node Editor", "NODE_EDITOR"))
_KEYS = (  # operator, its name property if it has one, key, modifiers
    ("sd.pie", "", "I", ("ctrl", "shift")),
    ("wm.call_panel", POPOVER, "I", ("ctrl", "shift", "alt")),
)
_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    config = bpy.context.window_manager.keyconfigs.addon
    if config is None:  # background mode has none
        return
    keymap = config.keymaps.new(name="Window", space_type="EMPTY")
    _items.append((keymap, keymap.keymap_items.new("sd.cancel", "ESC", "PRESS")))
    # Texture Paint, and Image Editors in Paint mode
    keymap = config.keymaps.new(name="Image Paint", space_type="EMPTY")
    _items.append((keymap, keymap.keymap_items.new("sd.finish_mask", "ESC", "PRESS")))
    for name, space in _EDITORS:
        keymap = config.keymaps.new(name=name, space_type=space)
        for operator, shown, key, modifiers in _KEYS:
            item = keymap.keymap_items.new(operator, key, "PRESS", **dict.fromkeys(on_this_system(modifiers), True))
            if shown:
                item.properties.name = shown
            _items.append((keymap, item))


def on_this_system(modifiers: Iterable[str], platform: str = sys.platform) -> tuple[str, ...]:
    """Return `modifiers` with Cmd in place of Ctrl on macOS, as in Blender's own keymap there."""
    return tuple("oskey" if name == "ctrl" and platform == "darwin" else name for name in modifiers)


def unregister() -> None:
    for keymap, item in _items:
        keymap.keymap_items.remove(item)
    _items.clear()


def draw(context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
    """Draw the keys as the artist has set them, to be changed as in Blender's own Keymap preferences."""
    config = context.window_manager.keyconfigs.user
    heading = ""
    for keymap, item in _items:
        mine = config.keymaps.get(keymap.name)
        own_items = mine.keymap_items if mine is not None else ()
        own_item = next((candidate for candidate in own_items if _same(candidate, item)), None)
        if own_item is not None:
            column = layout.column()
            if keymap.name != heading:
                heading = keymap.name
                column.label(text=heading, text_ctxt=bpy.app.translations.contexts.id_windowmanager)
            column.context_pointer_set("keymap", mine)
            rna_keymap_ui.draw_kmi([], config, mine, own_item, column, 0)


def _same(candidate: bpy.types.KeyMapItem, item: bpy.types.KeyMapItem) -> bool:
    """Return whether `candidate`, of the artist's keymap, is our `item`, whatever its key is now."""
    own, ours = candidate.properties, item.properties
    return candidate.idname == item.idname and (
        own is None or getattr(own, "name", None) == getattr(ours, "name", None))
