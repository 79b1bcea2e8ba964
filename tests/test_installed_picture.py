"""The built zip as its user has it: installed, enabled, and pictures painted, saved and thrown away from the console.

The engine is that of SD_ENGINE_PYTHON, or is set up first, as the lock in the folder of wheels SD_SETUP_WHEELS says."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from blender_sd.library.engine_environment import python_in
from blender_sd.library.png import has_credentials, origin_in, read_head
from tests.support.systems import gone

pytestmark = pytest.mark.bpy

_ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = r"""
import json, os, sys
import bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True, overwrite=True)
from bl_ext.user_default import blender_sd as sd
if wheels := os.environ.get("SD_SETUP_WHEELS", ""):
    print("SET UP " + sd.install_engine("cpu", wheels=wheels, lock=os.path.join(wheels, "pylock.cpu.toml")).result())
job = sd.generate("red brick wall", seed=7, steps=2, size=(64, 64), tiling="xy")
image = job.result()[0]
material = sd.apply(image, bpy.context.object)
restyled = sd.restyle(image, "snow", strength=1.0, steps=2, seed=7).result()[0]
image_name, restyled_name, material_name = image.name, restyled.name, material.name
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
names = [entry.name for entry in sd.history()]
thrown = sd.trash(names[0])
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
image, restyled, material = bpy.data.images[image_name], bpy.data.images[restyled_name], bpy.data.materials[material_name]
print("SAID " + json.dumps({"size": list(image.size), "packed": image.packed_file is not None, "path": job.results[0].path,
                            "used": material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].is_linked,
                            "own": bpy.utils.extension_path_user("bl_ext.user_default.blender_sd"),
                            "names": names, "thrown": len(thrown), "left": len(sd.history()),
                            "prompts": [sd.recall(one).prompt for one in (image, restyled)],
                            "pid": sys.modules[sd.__name__ + ".calls.runtime"].runtime.session._workers[0]._pipeline.pid}))
"""  # noqa: E501


def _engine_is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")  # an orphan whose new parent has not looked for it yet
    return gone(pid) or stat.exists() and stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def short_folder():
    """The base folder for an engine that is set up: Windows wants a short path, as of a person's."""
    with tempfile.TemporaryDirectory(prefix="sd", ignore_cleanup_errors=True) as folder:
        yield str(Path(folder).resolve())


def test_the_installed_add_on_paints_and_leaves_no_process(extension_zip, tmp_path, short_folder):
    user = tmp_path / "Zoë 画像"
    user.mkdir()
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user)}
    variables.pop("PYTHONPATH", None)
    if sets_up := bool(variables.get("SD_SETUP_WHEELS")):
        variables |= {"SD_BASE": short_folder, "SD_ENGINE_PYTHON": ""}
    else:
        variables.setdefault("SD_ENGINE_PYTHON", python_in(str(_ROOT / ".venv")))
    command = [
        sys.executable, "-X", "utf8", "-X", "faulthandler", "-c", _SCRIPT,
        str(extension_zip),
        str(user / "scène.blend")]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, encoding="utf-8", errors="replace",
                          stdin=subprocess.DEVNULL)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert lines, f"Blender ended with status {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    state = json.loads(lines[-1].removeprefix("SAID "))
    assert state["size"] == [64, 64] and state["packed"] and state["used"] and state["prompts"] == [
        "red brick wall", "snow"]
    assert (len(state["names"]), state["thrown"], state["left"]) == (2, 1, 1)
    pictures = os.path.join(short_folder, "pictures") if sets_up else state["own"]
    assert Path(state["path"]).is_file() and Path(state["path"]).is_relative_to(pictures)
    assert not sets_up or f"SET UP {python_in(os.path.join(short_folder, 'engine', 'env1'))}" in done.stdout.splitlines(
    )
    manifest = tomllib.loads((_ROOT / "addon_manifest.toml").read_text(encoding="utf-8"))
    assert origin_in(read_head(state["path"]).text).generator == f"blender_sd {manifest['version']}"
    assert has_credentials(state["path"])
    assert (Path(state["own"]) / "credentials" / "credentials.pem").is_file()
    assert _engine_is_gone(state["pid"]), "the engine outlived Blender"
