"""One Blender window for each test module. scripts/test.py names the interpreter and the zip."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.window.harness import BlenderWindow

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
    """The folder of this Blender's screenshots and logs: out/window/<version>, with "-second-try" where tests that have
    failed are run once more."""
    again = "-second-try" if os.environ.get("SD_SECOND_TRY") else ""
    return ROOT / "out" / "window" / (os.environ.get("SD_WINDOW_BLENDER", "blender") + again)


class Windows:
    """Opens a window of its own for each module. That of the next module starts while the tests of this one run: half
    of the time that Blender needs to start is waited for otherwise."""

    def __init__(self, python: str, archive: Path, shots: Path) -> None:
        self.python, self.archive, self.shots = python, archive, shots
        self._started: dict[str, BlenderWindow] = {}

    def start(self, module: str) -> BlenderWindow:
        """Return the window of a module, which may be starting."""
        if module not in self._started:
            self._started[module] = BlenderWindow(self.python, [self.archive],
                                                  self.shots / module.rpartition(".test_")[2])
        return self._started[module]

    def close(self) -> None:
        for window in self._started.values():
            window.close()


@pytest.fixture(scope="session")
def windows(window_python: str, extension_zip: Path, shots: Path) -> Iterator[Windows]:
    windows = Windows(window_python, extension_zip, shots)
    yield windows
    windows.close()


@pytest.fixture(scope="module")
def blender(windows: Windows, request: pytest.FixtureRequest) -> Iterator[BlenderWindow]:
    """A Blender with the built extension installed, for all tests of a module."""
    modules = list(
        dict.fromkeys(item.module.__name__ for item in request.session.items if "windows" in item.fixturenames))
    at = modules.index(request.module.__name__)
    with windows.start(modules[at]) as window:
        window.draw_plainly()
        for following in modules[at + 1 : at + 2]:
            windows.start(following)
        yield window
