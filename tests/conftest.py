"""What all layers share. Blender's settings live in a private folder: no test reads or writes the person's own."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

if "BLENDER_USER_RESOURCES" not in os.environ:  # before any test imports bpy; scripts/test.py has set it
    _user = tempfile.TemporaryDirectory(prefix="blender_user_", ignore_cleanup_errors=True)
    os.environ["BLENDER_USER_RESOURCES"] = _user.name


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built extension: the one that scripts/test.py names in SD_EXTENSION_ZIP, else one built now."""
    named = os.environ.get("SD_EXTENSION_ZIP")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("extension")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build.py"), "--output", str(folder)], check=True)
    return next(folder.glob("*.zip"))
