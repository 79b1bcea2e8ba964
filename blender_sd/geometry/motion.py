"""Find points of a surface again in other frames of a shot, by triangle and barycentric coordinates.

The surface may move and deform from frame to frame; as long as its topology stays, each point is where its triangle's
corners are. Whether it is seen there is decided by what that frame's pixels hit and, where these leave doubt, by a ray.
What lies beyond all surfaces is found again by its direction.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import distance_transform_cdt

from ..protocol.shots import Posed
from .agreement import Links
from .rays import Rays
from .slices import Cancelled, check, each, never
from .views import NOTHING, View

BEYOND = -1  # the label of pixels that hit nothing
_ON_SURFACE = 1.5  # pixels by which another frame's hit may lie off the point's plane
_LIFT = 2e-5  # of the unit box, as in `gather`
_FADE = 3.0  # pixels from an edge at which the quality is full
_GRAZING = 0.03  # least cosine at which a point counts as seen
_STEEP = 8.0  # pixels of depth per pixel: a larger step is an edge
_EDGES = 32
# A rotated grid round a pixel's centre.
_CORNERS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


@dataclass(frozen=True, eq=False)
class Box:
    """The unit box of a shot: world = box × scale + centre. One for all its frames, chosen from one of them."""

    centre: np.ndarray
    scale: float

    @classmethod
    def round(cls, posed: Posed) -> Box:
        """Return the box round a frame's triangles."""
        used = posed.vertices[np.unique(posed.topology.triangles)].astype(np.float64)
        if not len(used):
            return cls(np.zeros(3), 1.0)
        low, high = used.min(0), used.max(0)
        return cls((low + high) / 2, float((high - low).max() / 2) or 1.0)

    def view(self, view: View) -> View:
        """Return a camera of the world in the box."""
        scale = view.scale if view.perspective else (view.scale[0] * self.scale, view.scale[1] * self.scale)
        return replace(view, origin=(np.asarray(view.origin, np.float64) - self.centre) / self.scale,
                       axes=np.asarray(view.axes, np.float64), scale=scale, near=view.near / self.scale,
                       far=view.far / self.scale)


@dataclass(frozen=True, eq=False)
class Points:
    """What rays hit.

    Attributes:
        triangle: N int32; NOTHING beyond all surfaces.
        weights: N×3 float64, barycentric; for points beyond, the direction in which they lie.
        label: N int32: points of one side of one object have one; BEYOND beyond.
        depth: N float32; infinite beyond.
    """

    triangle: np.ndarray
    weights: np.ndarray
    label: np.ndarray
    depth: np.ndarray

    def part(self, chosen: np.ndarray) -> Points:
        """Return some of the points."""
        return Points(self.triangle[chosen], self.weights[chosen], self.label[chosen], self.depth[chosen])


@dataclass(frozen=True, eq=False)
class Found:
    """Where points are in another frame.

    Attributes:
        x, y: N float64, in pixels; pixel (i, j) covers i ≤ x < i+1.
        quality: N float32: how well each is seen there; 0 if it is not.
        density: N float32: pixels per unit of length there.
    """

    x: np.ndarray
    y: np.ndarray
    quality: np.ndarray
    density: np.ndarray


class Moment:
    """A frame's surface and what its pixels see.

    Attributes:
        view: The camera, in the shot's box.
        vertices: N×3 float64, in the box.
        triangles: T×3 int32.
        objects: T int32.
        name: The topology's name; points correspond between moments with the same one.
    """

    def __init__(self, posed: Posed, view: View, box: Box) -> None:
        """Take a frame.

        Args:
            posed: Its surface.
            view: Its camera in the world.
            box: The shot's.
        """
        self.view = box.view(view)
        self.vertices = (posed.vertices.astype(np.float64) - box.centre) / box.scale
        self.triangles, self.objects, self.name = posed.topology.triangles, posed.topology.objects, posed.topology.name

    def smaller(self, factor: int, size: tuple[int, int] | None = None) -> Moment:
        """Return the same moment with pixels `factor` times as large; it shares the surface.

        `size`: columns and rows; None for those that fit.
        """
        result = object.__new__(Moment)
        result.__dict__.update({name: self.__dict__[name] for name in ("vertices", "triangles", "objects", "name")})
        view = self.view
        width, height = size or (max(1, view.width // factor), max(1, view.height // factor))
        result.view = replace(view, scale=(view.scale[0] / factor, view.scale[1] / factor),
                              centre=(view.centre[0] / factor, view.centre[1] / factor), width=width, height=height)
        result.__dict__["rays"] = self.rays
        return result

    @cached_property
    def rays(self) -> Rays:
        """Rays against the frame's triangles. Raise GeometryMissing."""
        return Rays(self.vertices, self.triangles)

    @cached_property
    def points(self) -> Points:
        """What the pixels' centres see, row by row."""
        row, column = np.divmod(np.arange(self.view.width * self.view.height), self.view.width)
        return self.see(column + 0.5, row + 0.5)

    @cached_property
    def edges(self) -> np.ndarray:
        """How many pixels each pixel lies from the next silhouette or fold: H×W uint8, from 1, at most 32."""
        shape = self.view.height, self.view.width
        label, depth = self.points.label.reshape(shape), self.points.depth.reshape(shape)
        edge = np.zeros(shape, bool)
        for axis in (0, 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            near, far = tuple(behind), tuple(ahead)
            pixel = (np.minimum(depth[near], depth[far]) if self.view.perspective else 1.0) / self.view.scales()
            with np.errstate(invalid="ignore"):
                broken = (label[near] != label[far]) | (np.abs(depth[near] - depth[far]) > _STEEP * pixel)
            edge[near] |= broken
            edge[far] |= broken
        if not edge.any():
            return np.full(shape, _EDGES, np.uint8)
        return np.minimum(distance_transform_cdt(~edge, "chessboard") + 1, _EDGES).astype(np.uint8)

    def see(self, x: np.ndarray, y: np.ndarray, cancelled: Cancelled = never) -> Points:
        """Return what is seen at places in pixels, each N. Raise JobCancelled, GeometryMissing."""
        count = len(x)
        points = Points(np.full(count, NOTHING, np.int32), np.zeros((count, 3)), np.full(count, BEYOND, np.int32),
                        np.full(count, np.inf, np.float32))
        rays = self.rays

        def some(part: slice) -> None:
            origins, directions = self.view.rays(x[part] - 0.5, y[part] - 0.5)
            directions = np.broadcast_to(directions, origins.shape)
            triangle = rays.first(origins, directions)
            hit = triangle != NOTHING
            weights = directions.copy()
            solved, along, facing = _solved(self.vertices[self.triangles[triangle[hit]]], origins[hit], directions[hit])
            weights[hit] = solved
            points.weights[part], points.triangle[part] = weights, triangle
            depth = np.full(len(triangle), np.inf, np.float32)
            depth[hit] = along + self.view.near
            points.depth[part] = depth
            label = np.full(len(triangle), BEYOND, np.int32)
            label[hit] = self.objects[triangle[hit]] * 2 + (facing < 0)
            points.label[part] = label

        each(some, count, cancelled)
        return points

    def antialiased(self) -> tuple[np.ndarray, Points]:
        """Return for all samples of the frame the pixel, and what they see: pixels' centres, and four samples in place
        of one in pixels at edges."""
        edge = (self.edges == 1).ravel()
        inside, border = np.flatnonzero(~edge), np.flatnonzero(edge)
        row, column = np.divmod(border, self.view.width)
        shift = np.array(_CORNERS)
        fine = self.see((column[:, None] + 0.5 + shift[:, 0]).ravel(), (row[:, None] + 0.5 + shift[:, 1]).ravel())
        base = self.points.part(inside)
        both = [np.concatenate([getattr(base, name), getattr(fine, name)])
                for name in ("triangle", "weights", "label", "depth")]
        return np.concatenate([inside, np.repeat(border, len(shift))]), Points(*both)

    def density(self, points: Points) -> np.ndarray:
        """Return the pixels per unit of length at points that this frame sees, N float32."""
        if not self.view.perspective:
            return np.full(len(points.depth), self.view.scales(), np.float32)
        return (self.view.scales() / np.where(np.isfinite(points.depth), points.depth, 1)).astype(np.float32)

    def place(self, points: Points) -> np.ndarray:
        """Return where points on the surface lie in this frame, N×3 in the box; directions of points beyond."""
        placed = np.einsum("nij,ni->nj", self._corners(points), points.weights)
        return np.where((points.triangle == NOTHING)[:, None], points.weights, placed)

    def _corners(self, points: Points) -> np.ndarray:
        """Return the corners of the points' triangles, N×3×3; any for points beyond."""
        if not len(self.triangles):
            return np.zeros((len(points.triangle), 3, 3))
        return self.vertices[self.triangles[np.maximum(points.triangle, 0)]]

    def find(self, points: Points, cancelled: Cancelled = never) -> Found:
        """Return where this frame sees points of a frame with the same topology."""
        count = len(points.triangle)
        found = Found(np.zeros(count), np.zeros(count), np.zeros(count, np.float32), np.zeros(count, np.float32))
        _ = self.points, self.edges, self.rays  # made before several threads ask for them

        def some(part: slice) -> None:
            piece = points.part(part)  # type: ignore[arg-type]  # a slice chooses as well
            x, y, quality, density = self._find(piece)
            found.x[part], found.y[part], found.quality[part], found.density[part] = x, y, quality, density

        each(some, count, cancelled)
        return found

    def _find(self, points: Points) -> tuple[np.ndarray, ...]:
        view, beyond = self.view, points.triangle == NOTHING
        corners = self._corners(points)
        place = np.einsum("nij,ni->nj", corners, points.weights)
        local = view.camera_points(np.where(beyond[:, None], points.weights + view.origin, place))
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
        across = normal @ view.axes.T
        plane = np.einsum("ij,ij->i", across, local)
        with np.errstate(divide="ignore", invalid="ignore"):
            cos = -plane / np.linalg.norm(local, axis=1) if view.perspective else -across[:, 2]
            x, y = view.pixels(local)
            front = np.where((points.label & 1) == 1, cos, -cos)
            near = np.where(beyond, local[:, 2] > 0, (local[:, 2] > view.near) & (local[:, 2] < view.far))
            keep = near & (beyond | (front > _GRAZING)) & (x >= 0) & (y >= 0) & (x < view.width) & (y < view.height)
        keep &= np.isfinite(x) & np.isfinite(y)
        seen = np.zeros(len(x), bool)
        at = np.flatnonzero(keep)
        seen[at] = self._seen(points, at, x[at], y[at], place[at], normal[at], across[at], plane[at], local[at])
        x, y = np.where(keep, x, 0.0), np.where(keep, y, 0.0)
        edge = self.edges[np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)].astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            density = view.scales() / local[:, 2] if view.perspective else np.full(len(x), view.scales())
        squarely = np.where(beyond, 1.0, np.maximum(np.abs(cos), 0.02) * np.sqrt(np.abs(density)))
        quality = np.where(seen, squarely * np.clip(edge / _FADE, 0.2, 1.0), 0).astype(np.float32)
        return x, y, quality, np.where(beyond, view.scales(), density).astype(np.float32)

    def _seen(self, points: Points, at: np.ndarray, x: np.ndarray, y: np.ndarray, place: np.ndarray, normal: np.ndarray,
              across: np.ndarray, plane: np.ndarray, local: np.ndarray) -> np.ndarray:
        """Return which points, at these pixels, nothing hides."""
        view, shape = self.view, (self.view.height, self.view.width)
        labels, depths, hits = (value.reshape(shape) for value in (self.points.label, self.points.depth,
                                                                   self.points.triangle))
        label = points.label[at]
        left, top = np.floor(x - 0.5).astype(np.int64), np.floor(y - 0.5).astype(np.int64)
        any_, all_ = np.zeros(len(at), bool), np.ones(len(at), bool)
        for down in (0, 1):
            for along in (0, 1):
                same = labels[np.clip(top + down, 0, shape[0] - 1), np.clip(left + along, 0, shape[1] - 1)] == label
                any_ |= same
                all_ &= same
        column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        length = (local[:, 2] if view.perspective else 1.0) / view.scales()  # of a pixel there
        on = view.off_plane(column, row, depths[row, column].astype(np.float64), across, plane) < _ON_SURFACE * length
        beyond = points.triangle[at] == NOTHING
        sure = hits[row, column] == points.triangle[at]
        sure |= all_ & on & (self.edges[row, column] > 1)
        seen = np.where(beyond, any_, sure)
        doubt = np.flatnonzero(~beyond & ~sure & any_ & ((self.edges[row, column] <= 2) | on))
        side = np.where((label[doubt] & 1) == 1, 1.0, -1.0)[:, None]
        lifted = place[doubt] + normal[doubt] * side * _LIFT
        seen[doubt] = ~self.rays.blocked(lifted, view.eye_ends(lifted))
        return seen


def _solved(corners: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return barycentric weights, distance along the ray and facing (negative from in front) of rays that hit."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(one, other)
    facing = np.einsum("ij,ij->i", directions, normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.einsum("ij,ij->i", corners[:, 0] - origins, normal) / facing
        to = origins + along[:, None] * directions - corners[:, 0]
        square = np.einsum("ij,ij->i", normal, normal)
        second = np.einsum("ij,ij->i", np.cross(to, other), normal) / square
        third = np.einsum("ij,ij->i", np.cross(one, to), normal) / square
    weights = np.stack([1 - second - third, second, third], 1)
    return np.nan_to_num(weights), np.nan_to_num(along), facing


def linked(moments: list[Moment], most: int = 6, cancelled: Cancelled = never) -> Links:
    """Return which pixels of several moments of one size see the same points, as `agreement.link` does for views.

    Args:
        moments: Of one topology, with pixels as large as the latents'.
        most: How many moments are linked to one point: those that see it best.
        cancelled: See `slices`.
    """
    size = moments[0].view.width * moments[0].view.height
    pixels, qualities = [], []
    for number, moment in enumerate(moments):
        check(cancelled)
        own = np.arange(size) + number * size
        pixel, quality = [own], [np.maximum(moment.find(moment.points).quality, 1e-6)]
        for place, other in enumerate(moments):
            if place != number:
                found = other.find(moment.points)
                there = np.floor(found.y).astype(np.int64) * other.view.width + np.floor(found.x).astype(np.int64)
                pixel.append(np.where(found.quality > 0, there + place * size, own))
                quality.append(found.quality)
        rest = np.stack(quality[1:], 1) if len(moments) > 1 else np.zeros((size, 0), np.float32)
        order = np.concatenate([np.zeros((size, 1), np.int64),
                                np.argsort(-rest, axis=1, kind="stable")[:, : most - 1] + 1], 1)
        rows = np.arange(size)[:, None]
        pixels.append(np.stack(pixel, 1)[rows, order])
        qualities.append(np.stack(quality, 1)[rows, order])
    return Links(len(moments), moments[0].view.height, moments[0].view.width, np.concatenate(pixels),
                 np.concatenate(qualities).astype(np.float32))
