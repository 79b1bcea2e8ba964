"""The add-on's keys: none is taken in Blender's own keymap, and each can be found again to be changed."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import bpy
import pytest

from blender_sd.addon import keymap

MODIFIERS = ("ctrl", "shift", "alt", "oskey")


def _blenders_keys(platform: str) -> set[tuple]:
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
            items = [event for _operator, event, *_ in content["items"]]
            if platform == "darwin":  # as `bl_keymap_utils.platform_helpers` has Blender's own keymap there
                items += [{**event, "ctrl": False, "oskey": event["ctrl"]} for event in items if event.get("ctrl")]
            keys |= {(event["type"], tuple(bool(event.get(name)) for name in MODIFIERS)) for event in items}
    return keys


@pytest.mark.parametrize(("platform", "main"), [("linux", "ctrl"), ("win32", "ctrl"), ("darwin", "oskey")])
def test_the_keys_are_free_in_blender(platform, main):
    taken = _blenders_keys(platform)
    assert ("G", (False, False, False, False)) in taken and len(taken) > 300
    for _operator, _name, key, modifiers in keymap._KEYS:
        held = keymap.on_this_system(modifiers, platform)
        assert main in held and (key, tuple(name in held for name in MODIFIERS)) not in taken


def test_each_key_is_there_once_and_known_again(addon):
    items = [item for _, item in keymap._items]
    assert [item.idname for item in items].count("sd.pie") == len(keymap._EDITORS)
    for number, item in enumerate(items):
        item.type = "F5"  # as a person would change it
        assert keymap._same(item, items[number])
    assert len(items) == 2 + len(keymap._KEYS) * len(keymap._EDITORS) and not keymap._same(items[2], items[3])
    for item in items:
        assert item.idname.startswith("sd.") or hasattr(bpy.types, item.properties.name)


def test_the_names_of_the_keys_say_what_they_do(addon):
    assert {item.name for _, item in keymap._items} == {
        "Stable Diffusion: Cancel Job", "Stable Diffusion: Finish the Mask", "Stable Diffusion: Pie Menu",
        "Stable Diffusion Prompt"}
