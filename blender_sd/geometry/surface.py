"""The triangles of a scene in a unit box: normals, welded vertices, shells, and the rays that are cast against them."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..core.errors import SourceUnusable
from ..protocol.surfaces import OCCLUDER
from .rays import Rays

_WELD = 1e-6  # of the unit box: vertices of one object that are closer are one
_CREASE = np.cos(np.radians(50.0))  # across sharper edges normals are not averaged


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles as the scene hands them over, in any unit of length.

    Attributes:
        vertices: V×3 positions in the world.
        triangles: T×3 indices of vertices, anticlockwise as seen from outside.
        uv: T×3×2 texture coordinates of each triangle's corners, v upwards.
        objects: T object ids; no colour passes between objects.
        textures: T indices of the texture that each triangle shows; OCCLUDER where it is only in the way.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    objects: np.ndarray
    textures: np.ndarray


class Surface:
    """A mesh in a unit box, with what is derived from it once.

    The box [−1, 1] is that of the triangles with a texture, so that figures do not depend on the scene's scale and a
    wide floor costs no precision.

    Attributes:
        centre, scale: The box: world = box × scale + centre.
        vertices: V×3 float64 in the box.
        triangles: T×3 int32.
        uv: T×3×2 float64.
        textures: T int32.
        normals: T×3 float64 of unit length; 0 for triangles without an area.
        welded: T×3 int32, vertices by their position: equal numbers mean one point of one object.
        groups: T int32, one number for each texture of each object; −2 for triangles without a texture.
        regions: T int32, connected pieces of one texture; −2 for triangles without one.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Derive everything. Raise SourceUnusable if no triangle has a texture, none of those has an area, or numbers
        are not finite."""
        self.triangles = np.ascontiguousarray(mesh.triangles, np.int32).reshape(-1, 3)
        self.textures = np.ascontiguousarray(mesh.textures, np.int32)
        targets = self.textures != OCCLUDER
        if not targets.any():
            raise SourceUnusable("The objects have no faces.", "Choose an object with faces.")
        self.uv = np.ascontiguousarray(mesh.uv, np.float64).reshape(-1, 3, 2)
        vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
        used = vertices[self.triangles[targets]].reshape(-1, 3)
        if not (np.isfinite(used).all() and np.isfinite(self.uv[targets]).all()):
            raise SourceUnusable("A vertex or texture coordinate of the objects is not a finite number.",
                                 "Look for broken modifiers or drivers on the objects.")
        low, high = used.min(0), used.max(0)
        self.centre = (low + high) / 2
        self.scale = float((high - low).max() / 2) or 1.0
        self.vertices = (vertices - self.centre) / self.scale
        cross = _cross(self.vertices[self.triangles])
        area = np.linalg.norm(cross, axis=1)
        self.areas = area / 2
        if not area[targets].any():
            raise SourceUnusable("The faces of the objects have no area.",
                                 "Look for a scale of 0, or for faces whose vertices all lie on one line.")
        self.normals = np.divide(cross, area[:, None], out=np.zeros_like(cross), where=area[:, None] > 0)
        self.welded = self._weld(np.asarray(mesh.objects), targets)
        self.groups = self._groups(np.asarray(mesh.objects), targets)
        self.regions = self._regions(targets)

    @cached_property
    def rays(self) -> Rays:
        """Rays against all triangles. Raise GeometryMissing."""
        return Rays(self.vertices, self.triangles)

    def points(self, triangles: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the N×3 positions at the barycentric `weights` (N×3) of `triangles` (N)."""
        corners = self.vertices[self.triangles[triangles]]
        return np.einsum("nij,ni->nj", corners, weights)

    def weights(self, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the barycentric weights (N×3) of positions (N×3) on `triangles` (N)."""
        corners = self.vertices[self.triangles[triangles]]
        one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        to = points - corners[:, 0]
        a, b, c = ((one * one).sum(1), (one * other).sum(1), (other * other).sum(1))
        d, e = (to * one).sum(1), (to * other).sum(1)
        area = np.maximum(a * c - b * b, 1e-30)
        second, third = (c * d - b * e) / area, (a * e - b * d) / area
        return np.stack([1 - second - third, second, third], 1)

    def smooth_normals(self, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the normals (N×3, unit length) at positions (N×3) on `triangles` (N), smooth over facets."""
        normal = np.einsum("nij,ni->nj", self.corner_normals[triangles], self.weights(triangles, points))
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    def in_box(self, points: np.ndarray) -> np.ndarray:
        """Return world positions in the unit box."""
        return (np.asarray(points, np.float64) - self.centre) / self.scale

    def _weld(self, objects: np.ndarray, targets: np.ndarray) -> np.ndarray:
        welded = np.full(self.triangles.shape, -1, np.int32)
        corners = self.triangles[targets]
        grid = np.round((self.vertices[corners.ravel()] + 1) / (2 * _WELD)).astype(np.int64)
        keys = (grid[:, 0] << 42) | (grid[:, 1] << 21) | grid[:, 2]  # 2 / 2e-6 steps fit into 21 bits
        places = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        ids = np.unique(objects[targets], return_inverse=True)[1].repeat(3)
        welded[targets] = np.unique(places * (int(ids.max()) + 1) + ids, return_inverse=True)[1].reshape(-1, 3)
        return welded

    def _groups(self, objects: np.ndarray, targets: np.ndarray) -> np.ndarray:
        groups = np.full(len(self.triangles), -2, np.int32)
        ids = np.unique(objects[targets], return_inverse=True)[1].astype(np.int64)
        textures = self.textures[targets].astype(np.int64)
        groups[targets] = np.unique(ids * (textures.max() + 1) + textures, return_inverse=True)[1]
        return groups

    def _regions(self, targets: np.ndarray) -> np.ndarray:
        regions = np.full(len(self.triangles), -2, np.int32)
        corners = self.welded[targets]
        count = int(corners.max()) + 1
        edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]]])
        graph = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
        shells = connected_components(graph, directed=False)[1][corners[:, 0]].astype(np.int64)
        textures = self.textures[targets].astype(np.int64)
        regions[targets] = np.unique(shells * (textures.max() + 1) + textures, return_inverse=True)[1]
        return regions

    @cached_property
    def corner_normals(self) -> np.ndarray:
        """T×3×3 float32: normals of the triangles' corners, averaged over neighbours up to the crease angle.

        They vary smoothly over facets, where the triangles' own would make every facet a border.
        """
        targets = np.flatnonzero(self.textures != OCCLUDER)
        result = np.repeat(self.normals[:, None].astype(np.float32), 3, axis=1)
        weighted = self.normals[targets] * self.areas[targets, None]
        corner = self.welded[targets].ravel()
        order = np.argsort(corner, kind="stable")
        start = np.searchsorted(corner[order], np.arange(corner.max() + 2))
        degree = np.diff(start)
        owner = order // 3  # the triangles round each vertex, vertex by vertex
        total = np.zeros((len(corner), 3))
        mine = self.normals[targets]
        own = np.arange(len(corner)) // 3
        for turn in range(int(min(degree.max(), _MOST_NEIGHBOURS))):
            has = degree[corner] > turn
            other = owner[start[corner[has]] + turn]
            near = np.einsum("ij,ij->i", mine[own[has]], mine[other]) > _CREASE
            total[has] += np.where(near[:, None], weighted[other], 0)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        smooth = np.divide(total, length, out=mine[own].copy(), where=length > 0)
        result[targets] = smooth.reshape(-1, 3, 3)
        return result


_MOST_NEIGHBOURS = 64  # of a vertex, such as the pole of a sphere: further ones change its normal little


def _cross(corners: np.ndarray) -> np.ndarray:
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])

