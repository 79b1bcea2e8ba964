"""The API against a real engine process, painting with a tiny random model."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest

from blender_sd import api, config

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 180  # seconds; far more than any job here takes


def engine_python() -> str:
    """The interpreter with torch: scripts/test.py names it, else the project's default environment."""
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    return os.environ.get("SD_ENGINE_PYTHON") or str(ROOT / ".venv" / inside)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([engine_python(), str(ROOT / "tests" / "engine" / "tiny_models.py"), str(folder)], check=True, capture_output=True)
    return str(folder / "sd")


@pytest.fixture(scope="module")
def warm_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """One engine process for a module's tests."""
    before = config.current
    api.configure(engine_python=engine_python(), output=tmp_path_factory.mktemp("pictures"), in_thread=False, device="cpu", threads=1)
    yield api
    api.shutdown()
    config.current = before


@pytest.fixture
def sd(warm_api: ModuleType, tmp_path: Path) -> ModuleType:
    """The API on an output folder of the test's own."""
    warm_api.cancel_all()
    folder = tmp_path / "pictures"
    folder.mkdir()
    config.current = config.replace(config.current, output=str(folder))  # not an engine setting: the process stays
    return warm_api


@pytest.fixture
def small(tiny_model: str) -> dict:
    """Settings of a job of a fraction of a second."""
    return {"model": tiny_model, "steps": 2, "seed": 7}


@pytest.fixture
def painting(tiny_model: str) -> dict:
    """Settings of a job that is still at work while a test does something to it."""
    return {"model": tiny_model, "steps": 500, "seed": 7, "size": (64, 64)}


def pixels(image: bpy.types.Image) -> np.ndarray:
    """H×W×4 float32, row 0 at the bottom."""
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], 4)


def run_until(sd: ModuleType, done) -> None:
    """Pumps until `done()`; fails where that takes too long."""
    import time

    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "waited too long"
        sd.wait(0.1)
        sd.pump()
