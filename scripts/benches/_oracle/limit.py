"""The limit of a bake, by code of its own: each texel from its best view, as exactly as bilinear sampling allows.

It shares nothing with `blender_sd.geometry`: its own texel table, its own rays, its own visibility.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

LEAST_COS = 0.25
LIFT = 2e-5  # of the unit box
ON_SURFACE = 1.0  # pixels that a hit may lie off the texel's plane


@dataclass
class Table:
    """Texels whose centres lie on one triangle only.

    `index` counts the image's texels row by row from the top; `points` are float64 in the mesh's own coordinates.
    """

    index: np.ndarray
    triangle: np.ndarray
    points: np.ndarray


def scene_of(corners: np.ndarray) -> EmbreeScene:
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, np.ascontiguousarray(corners, np.float32))
    return scene


def table(corners: np.ndarray, uv: np.ndarray, size: int) -> Table:
    """Return the texel table of triangles (T×3×3) with UVs (T×3×2) on an image of size × size."""
    level = np.linspace(1, 0, len(uv))[:, None, None].repeat(3, 1)
    flat = scene_of(np.concatenate([uv, level], -1))
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(place, 1 - place)
    down = np.stack([x, y, np.full_like(x, 2)], -1).reshape(-1, 3).astype(np.float32)
    up = down * np.float32([1, 1, 0]) - np.float32([0, 0, 1])
    first = flat.run(down, np.float32([[0, 0, -1]]), query="INTERSECT")
    last = flat.run(up, np.float32([[0, 0, 1]]), query="INTERSECT")
    index = np.flatnonzero((first >= 0) & (first == last))
    triangle = first[index]
    a, b, c = (uv[triangle, k].astype(np.float64) for k in range(3))
    at = np.stack([x.ravel()[index], y.ravel()[index]], 1)
    one, two, rest = b - a, c - a, at - a
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    second = ((rest[:, 0] * two[:, 1] - rest[:, 1] * two[:, 0]) / area)[:, None]
    third = ((one[:, 0] * rest[:, 1] - one[:, 1] * rest[:, 0]) / area)[:, None]
    corner = corners[triangle]
    return Table(index, triangle, (1 - second - third) * corner[:, 0] + second * corner[:, 1] + third * corner[:, 2])


class Limit:
    """The limit for one mesh in the unit box."""

    def __init__(self, corners: np.ndarray, objects: np.ndarray) -> None:
        """`corners`: T×3×3 float64; `objects`: T ids: a hit on another object is not the texel's own surface."""
        self.corners, self.objects = corners, objects
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
        self.scene = scene_of(corners)

    def best(self, texels: Table, views, pictures) -> tuple[np.ndarray, np.ndarray]:
        """Return each texel's colour in its best view (N×3), and that view's number (N; −1: not covered)."""
        points, normals = texels.points, self.normals[texels.triangle]
        highest, view_of = np.full(len(points), LEAST_COS), np.full(len(points), -1)
        colours = np.zeros((len(points), 3))
        for number, (view, picture) in enumerate(zip(views, pictures)):
            towards = view.origin - points
            cos = np.einsum("ij,ij->i", towards, normals) / np.linalg.norm(towards, axis=1)
            candidates = np.flatnonzero(cos > highest)
            candidates = candidates[~self._hidden(points[candidates], normals[candidates], view.origin)]
            colour, weight = self._sampled(texels.triangle[candidates], points[candidates], view, picture)
            kept = weight > 1e-9
            candidates = candidates[kept]
            colours[candidates], highest[candidates] = colour[kept] / weight[kept, None], cos[candidates]
            view_of[candidates] = number
        return colours, view_of

    def _hidden(self, points: np.ndarray, normals: np.ndarray, eye: np.ndarray) -> np.ndarray:
        start = (points + normals * LIFT).astype(np.float32)
        reach = np.ones(len(start), np.float32)
        return self.scene.run(start, (eye - start).astype(np.float32), dists=reach, query="OCCLUDED") != -1

    def _sampled(self, triangle: np.ndarray, points: np.ndarray, view, picture) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted sum of the colours of the four pixels that see the texel's own surface, and weights."""
        local = (points - view.origin) @ view.axes.T
        x = local[:, 0] / local[:, 2] * view.scale[0] + view.centre[0] - 0.5
        y = view.centre[1] - local[:, 1] / local[:, 2] * view.scale[1] - 0.5
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        total, sum_ = np.zeros((len(points), 3)), np.zeros(len(points))
        for row in (0, 1):
            for column in (0, 1):
                at = left + column, top + row
                weight = np.abs(1 - column - (x - left)) * np.abs(1 - row - (y - top))
                inside = (at[0] >= 0) & (at[1] >= 0) & (at[0] < view.width) & (at[1] < view.height)
                weight = weight * inside * self._own(triangle, points, local[:, 2], view, *at)
                total += picture[np.clip(at[1], 0, view.height - 1), np.clip(at[0], 0, view.width - 1), :3
                                 ] * weight[:, None]
                sum_ += weight
        return total, sum_

    def _own(self, triangle: np.ndarray, points: np.ndarray, depth: np.ndarray, view, column: np.ndarray,
             row: np.ndarray) -> np.ndarray:
        direction = np.stack([(column + 0.5 - view.centre[0]) / view.scale[0],
                              (view.centre[1] - row - 0.5) / view.scale[1], np.ones(len(row))], 1) @ view.axes
        origin = np.broadcast_to(view.origin, direction.shape).astype(np.float32)
        hit = self.scene.run(origin, direction.astype(np.float32), query="INTERSECT")
        found = hit >= 0
        hit = np.maximum(hit, 0)
        normal = self.normals[hit]
        facing = np.einsum("ij,ij->i", direction, normal)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.einsum("ij,ij->i", self.corners[hit, 0] - view.origin, normal) / facing
            off = np.abs(np.einsum("ij,ij->i", view.origin + direction * far[:, None] - points, self.normals[triangle]))
        near = off < ON_SURFACE * depth / view.scale[0]
        return found & (facing < 0) & near & (self.objects[hit] == self.objects[triangle])

    def wrong(self, texels: Table, views, view_of: np.ndarray, count: int = 2000) -> float:
        """Return the share of `count` random covered texels that a double-precision intersection finds hidden from the
        view that was chosen for them.
        """
        covered = np.flatnonzero(view_of >= 0)
        some = np.random.default_rng(0).choice(covered, min(count, len(covered)), replace=False)
        bad = 0
        for texel in some:
            normal = self.normals[texels.triangle[texel]]
            start = texels.points[texel] + normal * LIFT
            bad += self._meets(start, views[view_of[texel]].origin - start)
        return bad / len(some)

    def _meets(self, start: np.ndarray, direction: np.ndarray) -> bool:
        """Möller–Trumbore, with all triangles."""
        edge1, edge2 = self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0]
        across = np.cross(direction, edge2)
        area = np.einsum("ij,ij->i", edge1, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            away = start - self.corners[:, 0]
            u = np.einsum("ij,ij->i", away, across) / area
            turn = np.cross(away, edge1)
            v = turn @ direction / area
            t = np.einsum("ij,ij->i", edge2, turn) / area
            return bool(((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1)).any())
