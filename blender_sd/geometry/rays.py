"""Cast rays against triangles with Intel's Embree, through the package embreex."""
from __future__ import annotations

import platform
import sys
from types import ModuleType

import numpy as np

from ..core.errors import GeometryMissing

_NO_WHEELS = {("linux", "aarch64"), ("win32", "arm64")}  # systems for which embreex has no wheels


def unsupported_platform(system: str = sys.platform, machine: str | None = None) -> str:
    """Return the name of this platform if embreex has no wheels for it, else "".

    Args:
        system: As in `sys.platform`.
        machine: As in `platform.machine()`; None for this machine's.
    """
    machine = (platform.machine() if machine is None else machine).lower()
    if (system, machine) in _NO_WHEELS:
        return {"linux": "Linux on ARM", "win32": "Windows on ARM"}[system]
    return ""


def _embree() -> tuple[type, type]:
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        name = unsupported_platform()
        if name:
            raise GeometryMissing(
                f"Pictures cannot be baked onto objects on {name}: the package embreex does not exist for it.",
                "Bake on another machine; everything else works.",
            ) from error
        raise GeometryMissing(
            "The package embreex is missing in the engine's Python.",
            f"Install it with: {sys.executable} -m pip install embreex",
            str(error),
        ) from error
    return EmbreeScene, TriangleMesh


class Rays:
    """Triangles that rays are cast against. Single precision: refine what is hit from the triangle's corners."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        """Build the acceleration structure.

        Args:
            vertices: V×3, of the order of 1.
            triangles: T×3 indices of vertices.

        Raises:
            GeometryMissing: embreex is not installed.
        """
        scene, mesh = _embree()
        self._scene = scene(robust=True)  # no ray slips through between two triangles
        self.count = len(triangles)
        if self.count:
            mesh(self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int32))

    def first(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return the index of the first triangle on each ray, −1 for none.

        Args:
            origins: N×3.
            directions: N×3, or 1×3 for all rays; need not have unit length.
        """
        if not self.count or not len(origins):
            return np.full(len(origins), -1, np.int32)
        return self._scene.run(_single(origins), _single(directions), query="INTERSECT")

    def blocked(self, origins: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return for each segment from `origins` to `ends` (N×3) whether a triangle is between."""
        if not self.count or not len(origins):
            return np.zeros(len(origins), bool)
        origins = _single(origins)
        reach = np.ones(len(origins), np.float32)
        return self._scene.run(origins, _single(ends - origins), dists=reach, query="OCCLUDED") != -1


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def require() -> None:
    """Raise GeometryMissing unless rays can be cast in this Python."""
    _embree()


def package() -> ModuleType | None:
    """Return the module embreex, or None where it is not installed."""
    try:
        import embreex
    except ImportError:
        return None
    return embreex
