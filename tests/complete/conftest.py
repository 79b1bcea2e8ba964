"""A complete Blender, and its window."""
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.window.complete import PROGRAM, SHOTS, CompleteWindow


@pytest.fixture(scope="session")
def program() -> tuple[str, ...]:
    """The command that starts the complete Blender, which is made first where it is missing."""
    subprocess.run([*PROGRAM, "--make"], check=True)
    return PROGRAM


@pytest.fixture(scope="session")
def window(program: tuple[str, ...], extension_zip: Path) -> CompleteWindow:
    """The complete Blender with the built extension."""
    with CompleteWindow(extension_zip.parent, [extension_zip], SHOTS) as opened:
        yield opened
