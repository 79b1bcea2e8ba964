"""Real Blender without a window: a fresh file for every test, and a user folder of our own for the run."""
from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_user = tempfile.TemporaryDirectory(prefix="blender_sd-tests-")  # removed when the process ends
os.environ["BLENDER_USER_RESOURCES"] = _user.name  # read once, when bpy is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bpy  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def fresh_file() -> None:
    """Blender's factory file, without objects."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def cube() -> bpy.types.Object:
    """An active cube with UVs and without a material."""
    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.object
