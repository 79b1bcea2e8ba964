"""Find what several views show of the same points, so that their pictures can be made to agree.

Every pixel of every view sees a point of the surface. Wherever other views see that point too, their pixels are linked
to it. A weighted mean over the links is a texture of infinitely fine texels, read at the pixels: no image's resolution,
distortion or seams come between the views.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .gather import FADE, LEAST_COS, quality_of
from .slices import Cancelled, check, never
from .surface import Surface
from .views import NOTHING, Hits, View, cast, edge_distance, hits_of

MOST = 6  # views that are linked to one point: the best ones
_ON_SURFACE = 1.5  # pixels by which another view's hit may lie off the point's plane
_LIFT = 2e-5  # of the unit box, as in `gather`


@dataclass(frozen=True, eq=False)
class Sight:
    """What the pixels of one view see.

    Attributes:
        view: The camera, in the unit box.
        hits: What its pixels see, with a border.
        pixel: n int64, pixels that see a front face with a texture, counted row by row.
        points, normals: n×3 float64 in the unit box; the normals are those of the triangles.
        smooth: n×3 float64, normals that are smooth over facets: by these the quality is judged, as in the bake.
        region: n int32 (`Surface.regions`).
        edges: (H+2)×(W+2) uint8, pixels to the next edge.
    """

    view: View
    hits: Hits
    edges: np.ndarray
    pixel: np.ndarray
    triangle: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    smooth: np.ndarray
    region: np.ndarray

    def facing(self) -> np.ndarray:
        """Return how squarely each point is seen: n float32, 1 at a right angle."""
        to_eye = self.view.origin - self.points if self.view.perspective else np.broadcast_to(-self.view.axes[2],
                                                                                              self.points.shape)
        length = np.linalg.norm(to_eye, axis=1)
        return (np.einsum("ij,ij->i", self.normals, to_eye) / np.maximum(length, 1e-12)).astype(np.float32)


def look(surface: Surface, view: View, cancelled: Cancelled = never) -> Sight:
    """Return what a view's pixels see; `view` is in the unit box."""
    hits = hits_of(surface, view, cast(surface, view, cancelled))
    row, column = np.nonzero(hits.regions[1:-1, 1:-1] != NOTHING)
    triangle = hits.triangles[row + 1, column + 1]
    depth = hits.depth[row + 1, column + 1].astype(np.float64)
    right, up = view.slopes(column.astype(np.float64), row.astype(np.float64))
    if view.perspective:
        right, up = right * depth, up * depth
    points = view.origin + right[:, None] * view.axes[0] + up[:, None] * view.axes[1] + depth[:, None] * view.axes[2]
    return Sight(view, hits, edge_distance(hits, view), row * view.width + column, triangle, points,
                 surface.normals[triangle], surface.smooth_normals(triangle, points), surface.regions[triangle])


@dataclass(frozen=True, eq=False)
class Links:
    """Which pixels of all views see the same points.

    Pixels are counted through all views, row by row; all views have one size.

    Attributes:
        views: Their number.
        height, width: Their size in pixels.
        pixel: M×K int64: for each pixel that sees the surface, itself first, then those of other views that see the
            same point; itself again where there are no more.
        quality: M×K float32: how well each sees it; 0 where there are no more.
        offset: M×K×2 float32: how far right of and below the pixel's centre the point lies there, from 0 to 1, so that
            it can be read between four pixels; 0 where not all of them see the surface. None if only nearest pixels
            are of interest.
    """

    views: int
    height: int
    width: int
    pixel: np.ndarray
    quality: np.ndarray
    offset: np.ndarray | None = None

    def rows(self) -> list[slice]:
        """Return the rows of each view. Work on one view after another takes the same memory for any number of them."""
        size = self.height * self.width
        ends = np.searchsorted(self.pixel[:, 0], np.arange(self.views + 1) * size)
        return [slice(start, end) for start, end in zip(ends[:-1].tolist(), ends[1:].tolist())]

    def weights(self, power: float, rows: slice) -> np.ndarray:
        """Return the share of each pixel in some rows: quality to a power, rows sum to 1. n×K float32."""
        with np.errstate(divide="ignore"):
            weight = np.log(self.quality[rows])
        weight *= power
        weight -= weight.max(1, keepdims=True)
        np.exp(weight, out=weight)
        weight /= weight.sum(1, keepdims=True)
        return weight


def link(surface: Surface, views: Sequence[View], cancelled: Cancelled = never, *, most: int = MOST,
         between: bool = False, fade: float = FADE, sights: Sequence[Sight] = ()) -> Links:
    """Link the pixels of `views`.

    Args:
        surface: The triangles.
        views: In the unit box, of one size.
        cancelled: See `slices`.
        most: How many views are linked to one point: those that see it best.
        between: Whether to find the places between pixels too (`Links.offset`).
        fade: Pixels from an edge at which a view's quality is full. With as much of the views as in the bake, the best
            view is the same one there.
        sights: What the views see, where that is known already.

    Raises:
        JobCancelled: `cancelled` returned True.
        GeometryMissing: embreex is not installed.
    """
    sights = sights or [look(surface, view, cancelled) for view in views]
    size = views[0].width * views[0].height
    rows: list[_Row] = []
    for number, sight in enumerate(sights):
        check(cancelled)
        own = sight.pixel + number * size
        quality = _quality(sight, sight.points, sight.smooth, sight.pixel, fade)
        seen = [_Row(own, quality, np.zeros((len(own), 2), np.float32))]
        seen += [_seen(surface, sight, other, place * size, own, between, fade) for place, other in enumerate(sights)
                 if place != number]
        rows.append(_best(seen, most))
    return Links(len(views), views[0].height, views[0].width, np.concatenate([row.pixel for row in rows]),
                 np.concatenate([row.quality for row in rows]),
                 np.concatenate([row.offset for row in rows]) if between else None)


@dataclass(frozen=True, eq=False)
class _Row:
    """For each point of a view, pixels of views that see it: `Links` without their numbers."""

    pixel: np.ndarray
    quality: np.ndarray
    offset: np.ndarray


def _best(seen: list[_Row], most: int) -> _Row:
    """Return the view's own pixels and the best of the others."""
    quality = np.stack([one.quality for one in seen[1:]], 1) if len(seen) > 1 else np.zeros((len(seen[0].pixel), 0))
    order = np.argsort(-quality, axis=1, kind="stable")[:, : most - 1] + 1
    order = np.concatenate([np.zeros((len(order), 1), np.int64), order], 1)
    rows = np.arange(len(order))[:, None]
    pixel = np.stack([one.pixel for one in seen], 1)[rows, order]
    quality = np.stack([one.quality for one in seen], 1)[rows, order]
    return _Row(np.where(quality > 0, pixel, pixel[:, :1]), quality,
                np.stack([one.offset for one in seen], 1)[rows, order])


def _quality(sight: Sight, points: np.ndarray, normals: np.ndarray, pixel: np.ndarray, fade: float) -> np.ndarray:
    view = sight.view
    local = view.camera_points(points)
    normal = normals @ view.axes.T
    if view.perspective:
        cos = -np.einsum("ij,ij->i", normal, local) / np.linalg.norm(local, axis=1)
        density = view.scales() / local[:, 2]
    else:
        cos, density = -normal[:, 2], np.full(len(local), view.scales())
    row, column = np.divmod(pixel, view.width)
    return quality_of(np.maximum(cos, 0.02), density, sight.edges[row + 1, column + 1], fade).astype(np.float32)


def _seen(surface: Surface, sight: Sight, other: Sight, start: int, own: np.ndarray, between: bool, fade: float
          ) -> _Row:
    """Return for each point of `sight` the pixel of `other` that sees it, and how well; quality 0 if it does not."""
    view, hits = other.view, other.hits
    local = view.camera_points(sight.points)
    normal = sight.normals @ view.axes.T
    plane = np.einsum("ij,ij->i", normal, local)
    smooth = sight.smooth @ view.axes.T
    cos = -np.einsum("ij,ij->i", smooth, local) / np.maximum(
        np.linalg.norm(local, axis=1), 1e-12) if view.perspective else -smooth[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = view.pixels(local)
        keep = (cos > LEAST_COS) & (local[:, 2] > view.near) & (local[:, 2] < view.far)
        keep &= (x >= 0) & (y >= 0) & (x < view.width) & (y < view.height)
    index = np.flatnonzero(keep)
    column, row = np.floor(x[index]).astype(np.int64), np.floor(y[index]).astype(np.int64)
    depth = hits.depth[row + 1, column + 1].astype(np.float64)
    length = (local[index, 2] if view.perspective else 1.0) / view.scales()  # of a pixel there
    off = view.off_plane(column, row, depth, normal[index], plane[index])
    near = (hits.regions[row + 1, column + 1] == sight.region[index]) & (off < _ON_SURFACE * length)
    index, column, row = index[near], column[near], row[near]
    lifted = sight.points[index] + sight.normals[index] * _LIFT
    free = ~surface.rays.blocked(lifted, view.eye_ends(lifted))
    index, column, row = index[free], column[free], row[free]
    there = row * view.width + column
    result = _Row(own.copy(), np.zeros(len(own), np.float32), np.zeros((len(own), 2), np.float32))
    result.quality[index] = _quality(other, sight.points[index], sight.smooth[index], there, fade)
    result.pixel[index] = there + start
    if not between:
        return result
    place = np.stack([x[index] - 0.5, y[index] - 0.5], 1)
    corner = np.floor(place).astype(np.int64)
    inside = ((corner >= 0) & (corner < [view.width - 1, view.height - 1])).all(1)
    for down in (1, 2):  # the arrays have a border
        for along in (1, 2):
            inside &= hits.regions[np.clip(corner[:, 1] + down, 0, view.height), np.clip(
                corner[:, 0] + along, 0, view.width)] == sight.region[index]
    index, corner, place = index[inside], corner[inside], place[inside]
    result.pixel[index] = corner[:, 1] * view.width + corner[:, 0] + start
    result.offset[index] = place - corner
    return result


def carried(surface: Surface, sights: Sequence[Sight], number: int, pictures: Mapping[int, np.ndarray]
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return what other views' pictures show where the view `number` looks.

    Args:
        surface: The triangles.
        sights: What all views see.
        number: The view to look from.
        pictures: H×W×3 of finished views by their numbers.

    Returns:
        H×W×3 float32, and H×W bool: where another view has seen the point about as well as this one can.
    """
    sight = sights[number]
    values, best = np.zeros((len(sight.pixel), 3), np.float32), np.zeros(len(sight.pixel), np.float32)
    for other, picture in pictures.items():
        row = _seen(surface, sight, sights[other], 0, sight.pixel, True, FADE)
        better = row.quality > best
        values[better] = _read(picture, row.pixel[better], row.offset[better])
        best[better] = row.quality[better]
    own = _quality(sight, sight.points, sight.smooth, sight.pixel, FADE)
    shape = sight.view.height, sight.view.width
    colours, known = np.zeros((shape[0] * shape[1], 3), np.float32), np.zeros(shape[0] * shape[1], bool)
    colours[sight.pixel], known[sight.pixel] = values, best > _AS_WELL * own
    return colours.reshape(*shape, 3), known.reshape(shape)


_AS_WELL = 0.6


def _read(picture: np.ndarray, pixel: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return a picture between its pixels, n×3."""
    flat = picture.reshape(-1, 3).astype(np.float32)
    right, down, last, width = offset[:, :1], offset[:, 1:], len(flat) - 1, picture.shape[1]
    total = np.zeros((len(pixel), 3), np.float32)
    for step, weight in ((0, 1 - down), (width, down)):
        total += weight * (flat[np.minimum(pixel + step, last)] * (1 - right)
                           + flat[np.minimum(pixel + step + 1, last)] * right)
    return total
