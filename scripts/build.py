"""Build the extension zip with Blender's own extension tool and validate it: python scripts/build.py.

    build/blender_sd-X.Y.Z.zip

The script stages `addon_manifest.toml` as `blender_manifest.toml` beside the contents of `blender_sd/`, LICENSE and
README. The tool is `blender_ext.py` in the bpy package of `.venv`; it refuses what Blender would refuse.
"""
from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import envs

ROOT = envs.ROOT
MANIFEST = "addon_manifest.toml"
IGNORED = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*", "*~", "*.orig", "*.log")


class BuildError(Exception):
    """The extension cannot be built; the text is the message of Blender's tool."""


def extension_tool() -> Path:
    """Return the path of Blender's `blender_ext.py`, from the bpy package of the running interpreter."""
    spec = importlib.util.find_spec("bpy")
    found = (
        [] if spec is None else sorted(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    )
    if not found:
        raise BuildError(f"{sys.executable} has no bpy with Blender's extension tool in it.")
    return found[-1]


def stage(target: Path, root: Path = ROOT) -> None:
    """Copy the extension into `target`, laid out as Blender expects it. `target` must not exist yet."""
    shutil.copytree(root / "blender_sd", target, ignore=IGNORED)
    shutil.copyfile(root / MANIFEST, target / "blender_manifest.toml")
    for name in ("LICENSE", "README.md"):
        if (root / name).exists():
            shutil.copyfile(root / name, target / name)


def build(output: Path, root: Path = ROOT) -> Path:
    """Build and validate the zip in the folder `output`; return its path. Raise BuildError. Needs bpy (not imported).
    """
    manifest = tomllib.loads((root / MANIFEST).read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    archive = output / f"{manifest['id']}-{manifest['version']}.zip"
    with tempfile.TemporaryDirectory(prefix="blender_sd_build_", ignore_cleanup_errors=True) as folder:
        staged = Path(folder) / manifest["id"]
        stage(staged, root)
        fresh = Path(folder) / archive.name
        _tool("build", "--source-dir", str(staged), "--output-filepath", str(fresh))
        _tool("validate", str(fresh))
        shutil.move(fresh, archive)  # so the output folder only ever holds valid archives
    return archive


def _tool(*arguments: str) -> None:
    done = subprocess.run([sys.executable, str(extension_tool()), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"blender_ext.py {arguments[0]}: {(done.stdout + done.stderr).strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the extension zip and validate it.")
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="the folder for the zip (default: build/)")
    arguments = parser.parse_args()
    envs.run_inside()
    try:
        archive = build(arguments.output)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{archive}  {archive.stat().st_size / 2**20:.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
