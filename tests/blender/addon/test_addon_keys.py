"""The add-on's keys: none is taken in Blender's own keymap, and each can be found again to be changed."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import bpy

from blender_sd.addon import keymap

MODIFIERS = ("ctrl", "shift", "alt", "oskey")


def _blenders_keys() -> set[tuple]:
    """Each key of Blender's default keymap, in any editor and mode: (key, modifiers)."""
    folder = next(Path(bpy.utils.resource_path(kind)) for kind in ("LOCAL", "SYSTEM") if (
        Path(bpy.utils.resource_path(kind)) / "scripts").is_dir())
    file = folder / "scripts" / "presets" / "keyconfig" / "keymap_data" / "blender_default.py"
    spec = importlib.util.spec_from_file_location("blender_default", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = set()
    for select in ("LEFT", "RIGHT"):
        for _name, _args, content in module.generate_keymaps(module.Params(select_mouse=select)):
            keys |= {(event["type"], tuple(bool(event.get(name)) for name in MODIFIERS)) for _operator, event, *_ in content["items"]}
    return keys


def test_the_keys_are_free_in_blender():
    taken = _blenders_keys()
    assert ("G", (False, False, False, False)) in taken and len(taken) > 300
    for _operator, _name, key, modifiers in keymap._KEYS:
        assert (key, tuple(modifiers.get(name, False) for name in MODIFIERS)) not in taken


def test_each_key_is_there_once_and_known_again(addon):
    items = [item for _, item in keymap._items]
    assert [item.idname for item in items].count("wm.call_menu_pie") == len(keymap._EDITORS)
    for number, item in enumerate(items):
        item.type = "F5"  # as a person would change it
        assert keymap._same(item, items[number])
    assert not keymap._same(items[1], items[2])
    for item in items[1:]:
        assert hasattr(bpy.types, item.properties.name)
