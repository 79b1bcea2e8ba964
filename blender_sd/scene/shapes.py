"""Meshes as arrays, read in a few milliseconds; what can be worked out elsewhere is worked out when it is asked for."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import bpy
import numpy as np

from . import uv

_SINGLY = 4000  # triangles that are read one by one faster than all of a large mesh


@dataclass(frozen=True, eq=False)
class Shape:
    """A mesh in its own space. All arrays are copies, which any thread may read.

    Attributes:
        vertices: V×3 float32.
        corners: L int32, the vertex at each corner.
        polygons: T int32, the polygon of each triangle, ascending.
        many: Indices (k) and corners (k×3) of the triangles that Blender divided n-gons into.
        slots: The material slot of each polygon, P int32; None if all have the first one.
        uvs: L×2 float32 by the name of the UV map.
        render_uv: The UV map for rendering; "" for none.
    """

    vertices: np.ndarray
    corners: np.ndarray
    polygons: np.ndarray
    many: tuple[np.ndarray, np.ndarray]
    slots: np.ndarray | None
    uvs: dict[str, np.ndarray]
    render_uv: str

    @cached_property
    def loops(self) -> np.ndarray:
        """T×3 int32, the corners of each triangle: as Blender divides polygons."""
        polygons = self.polygons
        starts = np.concatenate([[0], np.cumsum(np.bincount(polygons) + 2)[:-1]])
        second = np.concatenate([[False], polygons[1:] == polygons[:-1]])
        result = starts[polygons][:, None] + np.where(second[:, None], [0, 2, 3], [0, 1, 2])
        quads = np.flatnonzero(second)
        a, b, c, d = (self.vertices[self.corners[result[quads, 0] + step]] for step in range(4))
        concave = np.einsum("ij,ij->i", np.cross(b - a, c - a), np.cross(d - a, c - a)) > 0  # divided the other way
        turned = quads[concave]
        result[turned] += [1, 0, 0]
        result[turned - 1] += [0, 0, 1]
        index, corners = self.many
        result[index] = corners
        return result.astype(np.int32)

    def clipped(self, last: int) -> np.ndarray:
        """Return the slot of each polygon (P int32), the `last` one where there is no such slot."""
        if self.slots is None:
            return np.zeros(int(self.polygons[-1]) + 1, np.int32)
        return np.clip(self.slots, 0, last)


def read_mesh(mesh: bpy.types.Mesh) -> Shape:
    """Return a mesh with faces as arrays."""
    count = len(mesh.loop_triangles) or (mesh.calc_loop_triangles() or len(mesh.loop_triangles))
    polygons = np.empty(count, np.int32)
    mesh.loop_triangle_polygons.foreach_get("value", polygons)
    uvs = {}
    for layer in mesh.uv_layers:
        places = np.empty(len(mesh.loops) * 2, np.float32)
        layer.uv.foreach_get("vector", places)
        uvs[layer.name] = places.reshape(-1, 2)
    rendered = uv.rendered(mesh)
    slots = mesh.attributes.get("material_index")
    # Attributes are copied as they lie in memory; asking vertices, loops or polygons takes 200 times as long.
    return Shape(vertices_of(mesh), _values(mesh.attributes[".corner_vert"], "value", np.int32), polygons,
                 _many(mesh, polygons), _values(slots, "value", np.int32) if slots is not None else None, uvs,
                 rendered.name if rendered is not None else "")


def vertices_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """Return the vertices of a mesh in its own space, V×3 float32."""
    return _values(mesh.attributes["position"], "vector", np.float32, 3)


@contextmanager
def readable(obj: bpy.types.Object) -> Iterator[bpy.types.Mesh]:
    """Return a context with the mesh of `obj` as it is now.

    In Edit Mode, where a mesh's attributes cannot be read, it is a copy, which is removed at the end.
    """
    if not obj.data.is_editmode:
        yield obj.data
        return
    obj.update_from_editmode()
    copy = obj.data.copy()
    try:
        yield copy
    finally:
        bpy.data.meshes.remove(copy)


def _values(attribute: bpy.types.Attribute, name: str, kind: type, width: int = 1) -> np.ndarray:
    result = np.empty(len(attribute.data) * width, kind)
    attribute.data.foreach_get(name, result)
    return result.reshape(-1, width) if width > 1 else result


def _many(mesh: bpy.types.Mesh, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles of polygons with more than four corners; only Blender knows how it divides them."""
    index = np.flatnonzero(np.bincount(polygons)[polygons] > 2)
    if len(index) > _SINGLY:
        loops = np.empty(len(polygons) * 3, np.int32)
        mesh.loop_triangles.foreach_get("loops", loops)
        return index, loops.reshape(-1, 3)[index]
    triangles = mesh.loop_triangles
    return index, np.array([triangles[number].loops for number in index.tolist()], np.int32).reshape(-1, 3)
