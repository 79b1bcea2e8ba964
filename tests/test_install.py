"""The built zip, installed into this Blender as a person would: in a process of its own, with a user folder of its
own."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bpy

_SCRIPT = r"""
import json, sys
import bpy  # first: it makes addon_utils importable
import addon_utils

# While an add-on is enabled, Blender hides bpy.data and most of bpy.context. In PyPI's module Blender's own scripts
# have a `bpy` of their own, and only this line makes it hide them from the add-on, as in a complete Blender.
next(sys.modules[name] for name in ("_bpy_restrict_state", "bpy_restrict_state") if name in sys.modules)._bpy = bpy

MODULE = "bl_ext.user_default.blender_sd"
state = {}

def additions(cls):
    # how many functions add-ons have appended to a menu's or header's own draw()
    return max(0, len(getattr(getattr(cls, "draw", None), "_draw_funcs", ())) - 1)

def residue():
    # what an add-on can leave behind, apart from its Python modules
    owners = (bpy.types.Scene, bpy.types.WindowManager, bpy.types.Object, bpy.types.Image, bpy.types.Material)
    return {
        "properties": sorted(f"{o.__name__}.{p.identifier}" for o in owners for p in o.bl_rna.properties if p.is_runtime),
        "classes": sorted(name for name in dir(bpy.types) if name.startswith(("SD_", "sd."))),
        "operators": sorted(dir(bpy.ops.sd)),
        "handlers": {name: len(getattr(bpy.app.handlers, name)) for name in ("load_post", "load_pre", "save_pre", "save_post", "undo_post",
                     "redo_post", "depsgraph_update_post", "frame_change_post", "render_post")},
        "menus": {name: count for name in dir(bpy.types) if (count := additions(getattr(bpy.types, name)))},
        "keys": sum(len(keymap.keymap_items) for keymap in bpy.context.window_manager.keyconfigs.addon.keymaps)
                if bpy.context.window_manager.keyconfigs.addon else 0,
    }

before = residue()
state["installed"] = sorted(bpy.ops.extensions.package_install_files(
    filepath=sys.argv[1], repo="user_default", enable_on_install=True, overwrite=True))
enabled = residue()
state["enabled"] = MODULE in bpy.context.preferences.addons
state["scene"] = hasattr(bpy.types.Scene, "sd")
state["operator"] = bpy.ops.sd.generate.get_rna_type().identifier
import importlib
package = importlib.import_module(MODULE)
state["api"] = callable(package.generate)
state["torch"] = "torch" in sys.modules
prefs = bpy.context.preferences.addons[MODULE].preferences
prefs.engine_python, prefs.engine_place, prefs.output = "/env/bin/python", "/env/place", "//pictures"
prefs.model_folders.add().path = "/models"
addon_utils.disable(MODULE, default_set=True)
state["preferences of a disabled add-on"] = MODULE in bpy.context.preferences.addons
state["left after disabling"] = {key: [before[key], residue()[key]] for key in before if residue()[key] != before[key]}
addon_utils.enable(MODULE, default_set=True)
again = residue()
prefs = bpy.context.preferences.addons[MODULE].preferences
state["kept"] = [prefs.engine_python, prefs.engine_place, prefs.output, [folder.path for folder in prefs.model_folders]]
state["used"] = importlib.import_module(MODULE + ".calls.runtime").runtime.config.engine_python
state["differs after enabling again"] = {key: [enabled[key], again[key]] for key in enabled if again[key] != enabled[key]}
addon_utils.disable(MODULE)
state["left after all"] = {key: [before[key], residue()[key]] for key in before if residue()[key] != before[key]}
print("SAID " + json.dumps(state))
"""  # noqa: E501


@pytest.fixture(scope="module")
def state(extension_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a fresh Blender says of installing, enabling, disabling and enabling again."""
    user = tmp_path_factory.mktemp("user")
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user)}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run([sys.executable, "-c", _SCRIPT, str(extension_zip)], env=variables, cwd=user,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert lines, f"Blender ended with status {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stdout + done.stderr, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(lines[-1].removeprefix("SAID "))


def test_zip_installs_and_is_enabled(state):
    assert state["installed"] == ["FINISHED"]
    assert state["enabled"]


def test_operators_properties_and_the_scripting_api_are_there(state):
    assert state["operator"] == "SD_OT_generate"
    assert state["scene"]
    assert state["api"]


def test_enabling_imports_no_torch(state):
    assert state["torch"] is False


def test_disabling_leaves_nothing(state):
    assert state["left after disabling"] == {}


def test_what_was_chosen_outlives_disabling(state):
    assert state["preferences of a disabled add-on"] is False, "Blender deletes them"
    assert state["kept"] == ["/env/bin/python", "/env/place", "//pictures", ["/models"]]
    assert state["used"] == "/env/bin/python"


def test_enabling_twice_is_as_enabling_once(state):
    assert state["differs after enabling again"] == {}
    assert state["left after all"] == {}
