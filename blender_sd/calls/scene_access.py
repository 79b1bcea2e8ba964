"""Find what stands for the scene: the package `scene` where Blender is there, else `no_scene`."""
from __future__ import annotations

import functools
from types import ModuleType


def has_blender() -> bool:
    """Return whether this Python has bpy. Imports it."""
    return the_scene().__name__.rpartition(".")[2] == "scene"


@functools.cache
def the_scene() -> ModuleType:
    """Return the package `scene`, or `no_scene` in a Python without bpy."""
    try:
        import bpy  # noqa: F401  (only whether it is there)
    except ImportError:
        from . import no_scene

        return no_scene
    from .. import scene

    return scene
