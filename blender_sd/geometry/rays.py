"""Cast rays against triangles with Intel's Embree, through the package embreex."""
from __future__ import annotations

import sys

import numpy as np

from ..core.errors import GeometryMissing
from ..core.platforms import without_embree


def check() -> None:
    """Raise GeometryMissing if rays cannot be cast here."""
    _embree()


def _embree() -> tuple[type, type]:
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        name = without_embree()
        if name:
            raise GeometryMissing(f"Pictures cannot be baked onto objects on {name}: there is no embreex for it.",
                                  "Bake on another machine; everything else works.") from error
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
