"""One Blender window for each test module. scripts/test.py names the interpreter and the zip."""
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `harness` and `screen`

from harness import BlenderWindow  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def window_python() -> str:
    """An interpreter with bpy: the one in SD_WINDOW_PYTHON."""
    python = os.environ.get("SD_WINDOW_PYTHON")
    if not python:
        pytest.skip("SD_WINDOW_PYTHON names no interpreter with bpy; use scripts/test.py --layer window")
    return python


@pytest.fixture(scope="session")
def shots() -> Path:
    """The folder of this Blender's screenshots: out/window/<version>."""
    return ROOT / "out" / "window" / os.environ.get("SD_WINDOW_BLENDER", "blender")


@pytest.fixture(scope="module")
def blender(window_python: str, shots: Path, extension_zip: Path, request: pytest.FixtureRequest):
    """A Blender with the built extension installed, for all tests of a module."""
    with BlenderWindow(window_python, [extension_zip], shots / request.module.__name__.removeprefix("test_")) as window:
        yield window
