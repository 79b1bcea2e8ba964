"""Fixtures for real Blender without a window. Only tests marked `bpy` have Blender's module."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import bpy


@pytest.fixture(autouse=True)
def fresh_file(request: pytest.FixtureRequest) -> None:
    """Blender's factory file, without objects, for each test marked `bpy`. The fixture `addon` opens a file of its
    own."""
    if request.node.get_closest_marker("bpy") and "addon" not in request.fixturenames:
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def cube() -> bpy.types.Object:
    """An active cube with UVs and without a material."""
    import bpy

    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.object


@pytest.fixture
def camera_scene() -> Callable[[int], bpy.types.Scene]:
    """Makes of the open scene one with a camera and a cube, whose render is so many pixels wide and high."""
    import bpy

    def make(side: int) -> bpy.types.Scene:
        current = bpy.context.scene
        current.render.engine, current.cycles.samples, current.cycles.device = "CYCLES", 1, "CPU"
        current.render.resolution_x = current.render.resolution_y = side
        current.render.film_transparent = True
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        camera.location, camera.rotation_euler = (0, -6, 0), (np.pi / 2, 0, 0)
        current.collection.objects.link(camera)
        current.camera = camera
        bpy.ops.mesh.primitive_cube_add()
        return current

    return make
