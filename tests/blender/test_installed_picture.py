"""The built zip as its user has it: installed, enabled, and a picture painted by the embedded model from the console."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from blender_sd.protocol.png import has_credentials, origin_in, read_head

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = r"""
import json, sys
import bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True, overwrite=True)
from bl_ext.user_default import blender_sd as sd
job = sd.generate("red brick wall", seed=7, steps=2, size=(64, 64), tiling="xy")
image = job.result(timeout=300)[0]
material = sd.apply(image, bpy.context.object)
print("SAID " + json.dumps({"size": list(image.size), "packed": image.packed_file is not None, "path": job.results[0].path,
                            "used": material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].is_linked,
                            "own": bpy.utils.extension_path_user("bl_ext.user_default.blender_sd"),
                            "pid": sd.api._session._worker._pipeline.pid}))
"""


def _engine_is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_the_installed_add_on_paints_and_leaves_no_process(extension_zip, tmp_path):
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    engine = os.environ.get("SD_ENGINE_PYTHON") or str(_ROOT / ".venv" / inside)
    user = tmp_path / "user"
    user.mkdir()
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user), "SD_ENGINE_PYTHON": engine}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run([sys.executable, "-c", _SCRIPT, str(extension_zip)], env=variables, cwd=tmp_path, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=400)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert lines, f"Blender ended with status {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    said = json.loads(lines[-1].removeprefix("SAID "))
    assert said["size"] == [64, 64] and said["packed"] and said["used"]
    assert Path(said["path"]).is_file() and Path(said["path"]).is_relative_to(said["own"])
    manifest = tomllib.loads((_ROOT / "addon_manifest.toml").read_text())
    assert origin_in(read_head(said["path"]).text).generator == f"blender_sd {manifest['version']}" and has_credentials(said["path"])
    assert (Path(said["own"]) / "credentials" / "credentials.pem").is_file()
    if os.name == "posix":
        assert _engine_is_gone(said["pid"]), "the engine outlived Blender"
