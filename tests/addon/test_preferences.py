"""The preferences reach the configuration; without them (a plain module) everything has its default."""
from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import bpy
import pytest

from blender_sd.calls.config import Config
from blender_sd.calls.runtime import runtime
from blender_sd.addon import preference_access, preference_sections, preferences
from tests.support.addon import state
from tests.support.paper import Paper
from tests.support.preferences import prefs  # noqa: F401  (fixtures)


def test_a_plain_module_has_none(addon):
    assert preference_access.get() is None
    with pytest.raises(RuntimeError, match="configure"):
        bpy.ops.sd.folder_add(directory="/models")


def test_every_change_reaches_the_configuration(prefs, tmp_path):
    prefs.engine_python, prefs.in_thread, prefs.device, prefs.precision = "/env/bin/python", True, "cuda:1", "bf16"
    prefs.threads, prefs.memory_mb, prefs.output = 3, 4096, str(tmp_path)
    now = runtime.config
    assert (now.engine_python, now.in_thread, now.device, now.precision) == ("/env/bin/python", True, "cuda:1", "bf16")
    assert (now.threads, now.memory_mb, now.output) == (3, 4096, str(tmp_path))
    prefs.device = " "
    assert runtime.config.device == "auto"


def test_model_folders_come_and_go(prefs, tmp_path):
    bpy.ops.sd.folder_add(directory=str(tmp_path / "one"))
    bpy.ops.sd.folder_add(directory=str(tmp_path / "two"))
    assert [folder.rstrip("/\\")
            for folder in runtime.config.model_folders] == [str(tmp_path / "one"),
                                                            str(tmp_path / "two")]
    prefs.folder_index = 0
    bpy.ops.sd.folder_remove()
    assert [folder.rstrip("/\\") for folder in runtime.config.model_folders] == [str(tmp_path / "two")]
    bpy.ops.sd.folder_remove()
    assert runtime.config.model_folders == () and not bpy.ops.sd.folder_remove.poll()


def test_an_unwritable_output_folder_is_one_sentence(addon, prefs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    prefs.output = str(tmp_path / "file")
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="output folder"):
        bpy.ops.sd.generate()
    assert state().error and state().hint


def test_no_path_is_relative_to_the_open_file(prefs, tmp_path):
    """Chosen while a file is open, a relative path becomes a whole one; else it is none, whichever file is opened
    later."""
    bpy.ops.wm.read_homefile(use_empty=True)
    prefs.engine_python, prefs.output = "//venv/bin/python", "//out"
    prefs.model_folders.add().path = "//models"
    assert (runtime.config.engine_python, runtime.config.output, runtime.config.model_folders) == ("", "", ())
    (tmp_path / "stranger").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "stranger" / "scene.blend"))
    preferences.apply()
    assert (runtime.config.engine_python, runtime.config.output, runtime.config.model_folders) == ("", "", ())
    prefs.styles = "//styles"
    assert prefs.styles == runtime.config.styles == str(tmp_path / "stranger" / "styles")
    bpy.ops.wm.read_homefile(use_empty=True)


def test_each_declared_setting_is_shown_in_one_section_within_its_limits(prefs):
    shown: dict[str, list[str]] = {}
    for section, *_ in preference_sections.SECTIONS:
        prefs.section = section
        paper = Paper()
        preference_sections.draw(SimpleNamespace(layout=paper, **{
            name: getattr(prefs, name) for name in prefs.bl_rna.properties.keys() if name != "rna_type"},
            bl_rna=prefs.bl_rna), bpy.context)
        for _, name in paper.props:
            shown.setdefault(name, []).append(section)
    for spec in fields(Config):
        if rule := spec.metadata.get("setting"):
            assert len(shown.get(spec.name, ())) == 1, spec.name
            known = prefs.bl_rna.properties[spec.name]
            assert (known.name, known.description) == (rule.label, rule.tip)
            assert known.default == (pytest.approx(spec.default) if spec.type == "float" else spec.default)
            if rule.low is not None:
                assert rule.low <= known.hard_min and known.hard_max == pytest.approx(rule.high)
                assert known.soft_max == pytest.approx(rule.soft_high or rule.high)
