"""Files that earlier builds saved (tests/saved/) still open with their settings: scenes, preferences, presets,
styles."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

pytestmark = pytest.mark.bpy

_SAVED = Path(__file__).resolve().parent / "saved"
_READ = r"""
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import make  # tests/saved/make.py
import bpy, addon_utils
archive, folder = sys.argv[2], Path(sys.argv[3])
bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=False, overwrite=True)
if bpy.app.version >= (4, 5):
    bpy.ops.wm.read_userpref()  # bpy starts with the factory settings; the saved preferences enable the add-on
else:  # bpy 4.2 crashes there: it reloads textures of icons without a graphics context
    addon_utils.enable(make.MODULE, default_set=True)
bpy.ops.wm.open_mainfile(filepath=str(folder / "scene.blend"))
scene = bpy.context.scene
read = {"scene": make.values(scene.sd), "live": make.values(scene.sd_live), "mask": bpy.data.images["Painted"].sd_mask.name,
        "preferences": make.values(make.preferences()), "blender": bpy.app.version_string}
bpy.ops.wm.read_factory_settings(use_empty=True)
addon_utils.enable(make.MODULE, default_set=True)
bpy.ops.script.execute_preset(filepath=str(folder / "preset.py"), menu_idname="SD_PT_setting_presets")
read["preset"] = make.values(bpy.context.scene.sd)
sd = sys.modules[make.MODULE]
style = sd.import_style(folder / "style.toml")
read["style"] = {"name": style.name, "prompt": style.prompt, "negative": style.negative, "settings": dict(style.settings)}
print("READ " + json.dumps(read))
"""  # noqa: E501


def _version(text: str) -> tuple[int, int]:
    major, minor = text.rpartition("-")[2].split(".")[:2]
    return int(major), int(minor)


def _readable() -> list[str]:
    """Return the folders that this Blender can read: files of a newer Blender are not promised to open in an older
    one."""
    return sorted(folder.name for folder in _SAVED.iterdir() if folder.is_dir() and (folder / "expected.json").is_file()
                  and _version(folder.name) <= bpy.app.version[:2])


@pytest.fixture(scope="module", params=_readable())
def saved(request, extension_zip, tmp_path_factory) -> tuple[dict, dict]:
    """What an earlier build saved, and what this build reads of it in a Blender that starts with the saved
    preferences."""
    folder = _SAVED / request.param
    user = tmp_path_factory.mktemp("user")
    (user / "config").mkdir()
    shutil.copyfile(folder / "userpref.blend", user / "config" / "userpref.blend")
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user)}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(_SAVED),
         str(extension_zip), str(folder)], env=variables, cwd=user, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=120)
    lines = [line for line in done.stdout.splitlines() if line.startswith("READ ")]
    assert lines, f"Blender ended with status {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stdout + done.stderr, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(
        (folder / "expected.json").read_text(encoding="utf-8")), json.loads(lines[-1].removeprefix("READ "))


def _holds(now: object, saved: object) -> bool:
    """Return whether a value is still the saved one; parts of it may have further properties by now."""
    if isinstance(now, dict) and isinstance(saved, dict):
        return all(name in now and _holds(now[name], value) for name, value in saved.items())
    if isinstance(now, list) and isinstance(saved, list):
        return len(now) == len(saved) and all(map(_holds, now, saved))
    return now == saved


@pytest.mark.parametrize("part", ["scene", "live", "preferences"])
def test_each_saved_setting_has_its_value(saved, part):
    expected, read = saved
    if part == "preferences" and bpy.app.version < (4, 5):
        pytest.skip("bpy 4.2 cannot read preferences without a graphics context; its file is read by the newer ones")
    differing = {
        name: (value, read[part].get(name, "missing")) for name, value in expected[part].items()
        if not _holds(read[part].get(name), value)}
    assert not differing


def test_the_mask_of_an_image_is_still_its_mask(saved):
    expected, read = saved
    assert read["mask"] == expected["mask"]


def test_a_settings_preset_still_sets_what_it_holds(saved):
    expected, read = saved
    names = ("model", "width", "height", "sampler", "steps", "guidance", "count", "tiling", "random_seed")
    assert {name: read["preset"][name] for name in names} == {name: expected["scene"][name] for name in names}


def test_a_style_file_still_reads_as_it_was_saved(saved):
    _, read = saved
    assert read["style"] == {
        "name": "style", "prompt": "{prompt}, saved", "negative": "blur", "settings": {
            "width": 320, "height": 256, "steps": 13, "guidance": 4.5, "sampler": "euler_a", "tiling": "x",
            "strength": 0.4}}
