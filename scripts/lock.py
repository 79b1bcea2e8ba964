"""Write the lock files from which the add-on installs its engine: python scripts/lock.py.

    blender_sd/workers/locks/pylock.engine.toml   everything but torch; included by the others
    blender_sd/workers/locks/pylock.NAME.toml     torch for one accelerator, with what only that build needs

They are PEP 751 lock files with the address, size and SHA-256 of each wheel that a target of `lock_targets.py` can use;
a pin without a wheel for one of the targets is an error. Builds of torch that PyPI does not have are listed in
`tool.blender_sd.builds`, with the index that has them and the start of their local label; the installation looks up
their files there (see `workers/wheels.py`).

A requirement whose marker leaves out a target must end with "# optional: FEATURE", naming the feature that is missing
there.

uv resolves the requirements. It is installed, with packaging, into an environment of its own (.venv-lock).
"""
from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import envs

LOCKS = envs.ROOT / "blender_sd" / "workers" / "locks"
OF_CUDA = re.compile(r"(nvidia-.*|cuda-.*|triton)$")  # what torch asks for on Linux alone
TORCH_INDEX = "https://download.pytorch.org/whl"
TOOLS = ("uv==0.13.9", "packaging==26.3")
_LINE = re.compile(r"(?P<name>[\w.-]+)==[^\s;#]+\s*(?:;\s*(?P<marker>[^#]+?))?\s*(?:#\s*optional:\s*(?P<feature>.+))?$")

Package = dict[str, Any]  # an entry of "packages" in a lock file


def tools() -> Path:
    """Return the interpreter of the environment with this script's tools, created on first use."""
    folder = envs.ROOT / ".venv-lock"
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = envs.python_in(folder)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TOOLS], check=True, stdout=sys.stderr)
    return python


def requirements(text: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the pins of the requirement file `text`: name -> markers of its lines; and name -> feature for the
    optional ones.
    """
    wanted: dict[str, list[str]] = {}
    optional: dict[str, str] = {}
    for found in filter(None, map(_LINE.match, text.splitlines())):
        name = re.sub(r"[-_.]+", "-", found["name"]).lower()
        wanted.setdefault(name, []).append(found["marker"] or "")
        if found["feature"]:
            optional[name] = found["feature"].strip()
    return wanted, optional


def resolved(text: str, *options: str) -> list[Package]:
    """Resolve the requirements `text`. Return the packages, each with all its wheels. Raise EnvError."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = Path(folder, "in.txt")
        source.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "uv",
                "pip",
                "compile",
                "--quiet",
                "--universal",
                "--format",
                "pylock.toml",
                "--python-version",
                "3.11",
                "--no-header",
                "--no-annotate",
                "--no-config",
                *options,
                str(source),
            ],
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
    if done.returncode != 0:
        raise envs.EnvError(f"uv could not resolve the requirements:\n{done.stderr.strip()}")
    return tomllib.loads(done.stdout)["packages"]


def pruned(package: Package, targets: Any) -> Package:
    """Return `package` with the wheels that a target, or a newer system of its kind, can use. Raise EnvError if a size
    is unknown.
    """
    from lock_targets import file_name, fits

    wheels = [
        wheel for wheel in package.get("wheels", ()) if any(fits(wheel, target, newest=True) for target in targets)
    ]
    unknown = [file_name(wheel) for wheel in wheels if not wheel.get("size") or "sha256" not in wheel.get("hashes", {})]
    if unknown:
        raise envs.EnvError(f"The package index does not state size and SHA-256 of {', '.join(unknown)}.")
    return {**package, "wheels": wheels}


def entry(package: Package) -> str:
    """Return the lines for `package` in a lock file."""
    from lock_targets import file_name

    lines = ["[[packages]]", f'name = "{package["name"]}"', f'version = "{package["version"]}"']
    if package.get("marker"):
        lines.append(f'marker = "{package["marker"]}"')
    wheels = []
    for wheel in sorted(package["wheels"], key=file_name):
        facts = f'url = "{wheel["url"]}", size = {wheel["size"]}, hashes = {{sha256 = "{wheel["hashes"]["sha256"]}"}}'
        wheels.append(f'    {{name = "{file_name(wheel)}", {facts}}},')
    return "\n".join([*lines, "wheels = [", *wheels, "]"]) + "\n"


def build(version: str, label: str, marker: str = "") -> str:
    """Return the lines for a build of torch that its own index has."""
    lines = [
        "[[tool.blender_sd.builds]]",
        'name = "torch"',
        f'version = "{version}"',
        f'label = "{label}"',
        f'index = "{TORCH_INDEX}"',
    ]
    return "\n".join([*lines, f'marker = "{marker}"'] if marker else lines) + "\n"


def locks() -> dict[str, str]:
    """Return file name -> content. Raise EnvError, which names each gap."""
    from lock_targets import TARGETS, gaps, left_out

    texts = [(envs.REQUIREMENTS / name).read_text(encoding="utf-8") for name in ("engine.txt", "engine-bare.txt")]
    packages = [*resolved(texts[0]), *resolved(texts[1], "--no-deps")]
    missing = gaps(packages, TARGETS) + left_out(*requirements("\n".join(texts)), TARGETS)
    if missing:
        raise envs.EnvError("\n".join(missing))
    packages = sorted((pruned(one, TARGETS) for one in packages), key=lambda one: (one["name"], one["version"]))
    (torch,) = (one for one in packages if one["name"] == "torch")
    cuda = [one for one in packages if OF_CUDA.fullmatch(one["name"])]
    version = torch["version"]

    def only(marker: str) -> Package:
        return {**pruned(torch, [target for target in TARGETS if target.meets(marker)]), "marker": marker}

    (toolkit,) = (one["version"].split(".") for one in cuda if one["name"] == "cuda-toolkit")
    parts: dict[str, tuple[list[Package], list[str]]] = {
        "cuda": (
            [*cuda, only("sys_platform == 'linux'")],
            [build(version, f"cu{toolkit[0]}{toolkit[1]}", "sys_platform == 'win32'")],
        ),
        "rocm": ([], [build(version, "rocm")]),
        "xpu": ([], [build(version, "xpu")]),
        "mps": ([only("sys_platform == 'darwin'")], []),
        # PyPI's for Linux is for CUDA
        "cpu": ([only("sys_platform != 'linux'")], [build(version, "cpu", "sys_platform == 'linux'")]),
    }
    files = {"engine": head() + "\n".join(entry(one) for one in packages if one is not torch and one not in cuda)}
    for name, (own, builds) in parts.items():
        files[name] = head(include="pylock.engine.toml", empty=not own) + "\n".join([*builds, *map(entry, own)])
    return {f"pylock.{name}.toml": text for name, text in files.items()}


def head(include: str = "", empty: bool = False) -> str:
    """Return a lock file's first lines. `empty`: it has no packages of its own."""
    lines = [
        'lock-version = "1.0"',
        'created-by = "scripts/lock.py"',
        'requires-python = ">=3.11"',
        *(["packages = []"] if empty else []),
    ]
    return "\n".join([*lines, "", *(["[tool.blender_sd]", f'include = ["{include}"]', ""] if include else [])]) + "\n"


def main() -> int:
    argparse.ArgumentParser(description="Write the lock files from which the add-on installs its engine.").parse_args()
    if Path(sys.prefix).name != ".venv-lock":
        return subprocess.run([str(tools()), __file__]).returncode
    try:
        files = locks()
    except envs.EnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    LOCKS.mkdir(exist_ok=True)
    for name, content in files.items():
        (LOCKS / name).write_text(content, encoding="utf-8", newline="\n")
        print(f"{name}: {content.count('[[packages]]')} packages, {content.count('[[tool.blender_sd.builds]]')} builds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
