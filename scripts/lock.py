"""python scripts/lock.py: writes the lock files from which the add-on sets up its engine, out of the engine's requirements.

    blender_sd/engine/locks/engine.txt     everything but torch, each file by its hash; included by the others
    blender_sd/engine/locks/NAME.txt       torch for one accelerator, with what only that build needs

They are for Python 3.11 to 3.13 on every system, in pip's format. uv resolves them; it is installed into an environment of its own
(.venv-lock). torch's own index is not asked: what comes from there stands without a hash, and its local label ("+rocm") is the
beginning of the build's, see `engine/wheels.py`.
"""
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import envs

LOCKS = envs.ROOT / "blender_sd" / "engine" / "locks"
OF_CUDA = re.compile(r"(nvidia-.*|cuda-.*|triton)$")  # what torch asks for on Linux alone
TORCH_INDEX = "--extra-index-url https://download.pytorch.org/whl"
UV = "uv==0.13.9"
_NOTE = "# Written by scripts/lock.py. "


def compiled(text: str, *options: str) -> dict[str, str]:
    """Name -> block (the pin, its marker, its hashes) of everything that the requirements `text` come to, several of a name joined."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.txt")
        source.write_text(text, encoding="utf-8")
        done = subprocess.run([str(uv()), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11",
                               "--no-header", "--no-annotate", "--no-config", *options, str(source)], capture_output=True, text=True)
    if done.returncode != 0:
        raise envs.EnvError(f"uv could not resolve the requirements:\n{done.stderr.strip()}")
    blocks: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", done.stdout.strip()):
        name = block.partition("==")[0]
        blocks[name] = f"{blocks[name]}\n{block}" if name in blocks else block
    return blocks


def uv() -> Path:
    """The program that resolves; installed on first use."""
    folder = envs.ROOT / ".venv-lock"
    program = folder / ("Scripts/uv.exe" if envs.WINDOWS else "bin/uv")
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(envs.python_in(folder)), "-m", "pip", "install", "--quiet", UV], check=True)
    return program


def locks() -> dict[str, str]:
    """File name -> content."""
    wanted = (envs.REQUIREMENTS / "engine.txt").read_text(encoding="utf-8")
    blocks = compiled(wanted)
    torch = blocks.pop("torch")
    cuda = [blocks.pop(name) for name in sorted(blocks) if OF_CUDA.fullmatch(name)]
    blocks |= compiled((envs.REQUIREMENTS / "engine-bare.txt").read_text(encoding="utf-8"), "--no-deps")
    pin, _, hashes = torch.partition(" \\\n")

    def on(marker: str) -> str:
        return f"{pin} ; {marker} \\\n{hashes}"

    def build(label: str, marker: str = "") -> str:
        return f"{TORCH_INDEX}\n{pin}+{label}{' ; ' + marker if marker else ''}"

    cuda_label = "cu" + re.search(r"cuda-toolkit==(\d+)\.(\d+)", "\n".join(cuda)).expand(r"\1\2")
    parts = {
        "cuda": ("NVIDIA: PyPI's build on Linux, torch's own index on Windows.",
                 [*cuda, on("sys_platform == 'linux'"), build(cuda_label, "sys_platform == 'win32'")]),
        "rocm": ("AMD: the newest ROCm build on torch's own index.", [build("rocm")]),
        "xpu": ("Intel: torch's own index.", [build("xpu")]),
        "mps": ("Apple: PyPI's build.", [torch]),
        "cpu": ("No graphics card: PyPI's build, but on Linux torch's own index (PyPI's is for CUDA there).",
                [on("sys_platform != 'linux'"), build("cpu", "sys_platform == 'linux'")]),
    }
    files = {"engine.txt": f"{_NOTE}Everything but torch.\n" + "\n".join(blocks[name] for name in sorted(blocks)) + "\n"}
    for name, (text, lines) in parts.items():
        files[f"{name}.txt"] = f"{_NOTE}{text}\n-r engine.txt\n" + "\n".join(lines) + "\n"
    return files


def main() -> int:
    try:
        files = locks()
    except envs.EnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    LOCKS.mkdir(exist_ok=True)
    for name, content in files.items():
        (LOCKS / name).write_text(content, encoding="utf-8", newline="\n")
        print(f"{name}: {len(re.findall('^[a-z0-9_.-]+==', content, re.M | re.I))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
