"""What tests of the calls share: the engine's interpreter, pixels, and waiting."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import bpy

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180  # seconds; far more than any job here takes


def engine_python() -> str:
    """The interpreter with torch: scripts/test.py names it, else the project's default environment."""
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return os.environ.get("SD_ENGINE_PYTHON") or str(ROOT / ".venv" / inside)


def build_tiny_models(python: str, folder: Path) -> Path:
    """Let an interpreter with torch build the tiny models `sd` and `sdxl` in `folder`, or copy those that
    scripts/test.py has built and names in SD_TINY_MODELS. Return that of `sd`."""
    if built := os.environ.get("SD_TINY_MODELS"):
        shutil.copytree(built, folder, dirs_exist_ok=True)
        return folder / "sd"
    subprocess.run([python, "-m", "tests.support.tiny_models", str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder / "sd"


def pixels(image: bpy.types.Image) -> np.ndarray:
    """H×W×4 float32, row 0 at the bottom."""
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)


def run_until(sd: ModuleType, done) -> None:
    """Pumps until `done()`; fails where that takes too long."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "waited too long"
        sd.wait(0.1)
        sd.pump()
