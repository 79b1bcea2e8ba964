"""The preferences reach the configuration; without them (a plain module) everything has its default."""
from __future__ import annotations

import bpy
import pytest
from addon_helpers import state

from blender_sd import config
from blender_sd.addon import preferences


@pytest.fixture
def prefs(addon):
    """The preferences as they are once the add-on is enabled."""
    addons = bpy.context.preferences.addons
    entry = addons.new()
    entry.module = preferences.PACKAGE
    yield entry.preferences
    addons.remove(entry)


def test_a_plain_module_has_none(addon):
    assert preferences.get() is None
    with pytest.raises(RuntimeError, match="configure"):
        bpy.ops.sd.folder_add(directory="/models")


def test_every_change_reaches_the_configuration(prefs, tmp_path):
    prefs.engine_python, prefs.in_thread, prefs.device, prefs.precision = "/env/bin/python", True, "cuda:1", "bf16"
    prefs.threads, prefs.memory_mb, prefs.output = 3, 4096, str(tmp_path)
    now = config.current
    assert (now.engine_python, now.in_thread, now.device, now.precision) == ("/env/bin/python", True, "cuda:1", "bf16")
    assert (now.threads, now.memory_mb, now.output) == (3, 4096, str(tmp_path))
    prefs.device = " "
    assert config.current.device == "auto"


def test_model_folders_come_and_go(prefs, tmp_path):
    bpy.ops.sd.folder_add(directory=str(tmp_path / "one"))
    bpy.ops.sd.folder_add(directory=str(tmp_path / "two"))
    assert [folder.rstrip("/\\") for folder in config.current.model_folders] == [str(tmp_path / "one"), str(tmp_path / "two")]
    prefs.folder_index = 0
    bpy.ops.sd.folder_remove()
    assert [folder.rstrip("/\\") for folder in config.current.model_folders] == [str(tmp_path / "two")]
    bpy.ops.sd.folder_remove()
    assert config.current.model_folders == () and not bpy.ops.sd.folder_remove.poll()


def test_an_unwritable_output_folder_is_one_sentence(addon, prefs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    prefs.output = str(tmp_path / "file")
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="output folder"):
        bpy.ops.sd.generate()
    assert state().error and state().hint
