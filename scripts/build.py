"""python scripts/build.py: builds the extension zip with Blender's own extension tool and validates it.

    build/blender_sd-X.Y.Z.zip

`addon_manifest.toml` is staged as `blender_manifest.toml` beside the contents of `blender_sd/`, LICENSE and README.
The tool is the `blender_ext.py` inside the bpy package of `.venv`; what Blender would refuse, this refuses.
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
    """The extension cannot be built; the text is what Blender's tool said."""


def extension_tool() -> Path:
    """Blender's `blender_ext.py`, from the bpy package of the running interpreter."""
    spec = importlib.util.find_spec("bpy")
    found = [] if spec is None else sorted(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        raise BuildError(f"{sys.executable} has no bpy with Blender's extension tool in it.")
    return found[-1]


def stage(target: Path, root: Path = ROOT) -> None:
    """Lays out the extension as Blender wants it in `target`, which must not exist yet."""
    shutil.copytree(root / "blender_sd", target, ignore=IGNORED)
    shutil.copyfile(root / MANIFEST, target / "blender_manifest.toml")
    for name in ("LICENSE", "README.md"):
        if (root / name).exists():
            shutil.copyfile(root / name, target / name)


def build(output: Path, root: Path = ROOT) -> Path:
    """Builds and validates the zip in the folder `output`; its path. Raises BuildError. Needs bpy (not imported)."""
    manifest = tomllib.loads((root / MANIFEST).read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    archive = output / f"{manifest['id']}-{manifest['version']}.zip"
    with tempfile.TemporaryDirectory(prefix="blender_sd_build_") as folder:
        staged = Path(folder) / manifest["id"]
        stage(staged, root)
        fresh = Path(folder) / archive.name
        _tool("build", "--source-dir", str(staged), "--output-filepath", str(fresh))
        _tool("validate", str(fresh))
        shutil.move(fresh, archive)  # only a valid archive ever stands in the output folder
    return archive


def _tool(*arguments: str) -> None:
    done = subprocess.run([sys.executable, str(extension_tool()), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"blender_ext.py {arguments[0]}: {(done.stdout + done.stderr).strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the extension zip and validates it.")
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="the folder that takes the zip (default: build/)")
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
