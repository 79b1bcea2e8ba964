"""scripts/build.py stages what belongs into the extension; scripts/bench.py reports as it promises."""
from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import bench
import build

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_the_stage_is_an_extension_without_leftovers(tmp_path):
    root = tmp_path / "root"
    (root / "blender_sd" / "__pycache__").mkdir(parents=True)
    for name in ("blender_sd/__init__.py", "blender_sd/__pycache__/x.pyc", "blender_sd/.hidden",
                 "blender_sd/weights.safetensors", "addon_manifest.toml", "LICENSE", "README.md"):
        (root / name).write_text(name, encoding="utf-8")
    build.stage(tmp_path / "stage", root)
    staged = sorted(path.relative_to(tmp_path / "stage").as_posix() for path in (tmp_path / "stage").rglob("*"))
    assert staged == ["LICENSE", "README.md", "__init__.py", "blender_manifest.toml", "weights.safetensors"]


def test_the_manifest_is_the_only_place_that_names_the_version():
    root = SCRIPTS.parent
    version = tomllib.loads((root / "addon_manifest.toml").read_text(encoding="utf-8"))["version"]
    assert f'"{version}"' not in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert "bl_info" not in (root / "blender_sd" / "__init__.py").read_text(encoding="utf-8")


def _bench(tmp_path, code):
    """What bench.py prints and its exit status, for a bench that consists of `code`."""
    (tmp_path / "benches").mkdir()
    text = f"DESCRIPTION = 'a bench'\ndef run(log):\n    log('working')\n    {code}\n"
    (tmp_path / "benches" / "it.py").write_text(text, encoding="utf-8")
    main = ("import sys; sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]; import bench, envs; from pathlib import "
            "Path\n"
            "bench.BENCHES = Path(sys.path[0], 'benches'); bench.available.__defaults__ = (bench.BENCHES,)\n"
            "envs.run_inside = lambda: None; sys.exit(bench.main())")
    done = subprocess.run(
        [sys.executable, "-c", main, str(tmp_path), str(SCRIPTS), "it"], capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), done.returncode, done.stderr


def test_bars_that_hold(tmp_path):
    report = {"figures": {"ms": 3.0}, "bars": {"ms": {"value": 3.0, "bar": "<= 10", "holds": True}}}
    result, status, progress = _bench(tmp_path, f"return {report!r}")
    assert result == {"name": "it", "ok": True, **report}
    assert status == 0 and "working" in progress


def test_one_bar_that_does_not_hold(tmp_path):
    result, status, _ = _bench(tmp_path, "return {'figures': {}, 'bars': {'a': {'value': 1, 'bar': '<= 1', 'holds': "
                                         "True}, 'b': {'value': 9, 'bar': '<= 1', 'holds': False}}}")
    assert result["ok"] is False and status == 1


def test_a_bench_that_breaks(tmp_path):
    result, status, _ = _bench(tmp_path, "raise ValueError('no model')")
    assert result == {"name": "it", "ok": False, "error": "ValueError: no model"} and status == 1


def test_list_names_every_bench_and_its_description():
    listed = bench.available()
    assert {"stall", "overhead", "commit", "cancel", "cold"} <= listed.keys()
    assert all(len(text) > 10 for text in listed.values())
    assert "common" not in listed
