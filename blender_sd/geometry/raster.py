"""Find the triangles under each texel's centre: exactly, with every triangle where several lie on one place."""
from __future__ import annotations

from functools import partial

import numpy as np

from .slices import Cancelled, never, together

DEEPEST = 8  # triangles on one texel that are kept apart
_CHUNK = 1 << 20  # texels in the boxes round the triangles that are drawn together


def texels_under(corners: np.ndarray, width: int, height: int, cancelled: Cancelled = never
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Return texels, counted row by row, and the triangle under the centre of each.

    Where triangles share an edge, each centre lies on exactly one of them. Triangles without an area have no texel. A
    texel on which several triangles lie comes once for each; of a stack of many, DEEPEST or a few more are kept.

    Args:
        corners: F×3×2 float64 in texels; parts outside the image are left out.
        width, height: Of the image.
        cancelled: See `slices`.

    Raises:
        JobCancelled: `cancelled` returned True.
    """
    low, high = np.floor(corners.min(1)), np.ceil(corners.max(1))
    size = (width, height)
    sides = np.maximum(np.minimum(high, size) - np.maximum(low, 0), 0)
    area = sides[:, 0] * sides[:, 1]
    crowded = area.sum() > 2 * width * height * DEEPEST
    drawn = np.flatnonzero(area > 0)
    if crowded:
        drawn = _few_alike(corners, drawn)
    chunk = (np.cumsum(area[drawn]) // _CHUNK).astype(np.int64)
    parts = np.split(drawn, np.flatnonzero(np.diff(chunk)) + 1)
    if not crowded:
        pieces = together([partial(_drawn, corners, part, width, height) for part in parts], cancelled)
    else:
        pieces, depth = [], np.zeros(width * height, np.int64)
        for part in parts:
            (texel, triangle), = together([partial(_drawn, corners, part, width, height)], cancelled)
            free = depth[texel] < DEEPEST
            pieces.append((texel[free], triangle[free]))
            depth += np.bincount(texel[free], minlength=width * height)
    texels, triangles = zip(*pieces)
    return np.concatenate(texels), np.concatenate(triangles)


def _few_alike(corners: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return `drawn` without most of the triangles that lie on exactly the same place, as copied leaves do."""
    order = np.lexsort(corners[drawn].reshape(-1, 6).T)
    ordered = corners[drawn[order]].reshape(-1, 6)
    new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(1)])
    place = np.arange(len(order))
    return np.sort(drawn[order[place - np.maximum.accumulate(np.where(new, place, 0)) < DEEPEST]])


def _drawn(corners: np.ndarray, part: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the texels of the triangles `part`, and the triangle of each."""
    x, y = corners[part, :, 0], corners[part, :, 1]
    first = np.clip(np.ceil(y.min(1) - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(y.max(1) - 0.5), 0, height).astype(np.int64) - first
    of = np.repeat(np.arange(len(part)), rows)
    row = first[of] + _turns(rows)
    left, right = np.full(len(of), np.inf), np.full(len(of), -np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        # Each edge runs upwards whichever triangle it belongs to, so that both neighbours round it alike.
        turned = (y[:, a] > y[:, b]) | (y[:, a] == y[:, b]) & (x[:, a] > x[:, b])
        ends = [np.where(turned, two, one) for one, two in
                ((x[:, a], x[:, b]), (y[:, a], y[:, b]), (x[:, b], x[:, a]), (y[:, b], y[:, a]))]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (ends[2] - ends[0]) / (ends[3] - ends[1])
        begin = ends[1][of]
        above = row + 0.5 - begin
        crossed = (above >= 0) & (row + 0.5 < ends[3][of])
        with np.errstate(invalid="ignore"):
            at = ends[0][of] + above * slope[of]
        left = np.where(crossed, np.minimum(left, at), left)
        right = np.where(crossed, np.maximum(right, at), right)
    start = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    columns = np.maximum(np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64) - start, 0)
    texel = np.repeat(row * width + start, columns) + _turns(columns)
    return texel, np.repeat(part[of], columns)


def _turns(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, … for each of `counts`, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
