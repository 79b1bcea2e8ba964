"""White noise that sticks to moving surfaces: each number belongs to a small cell of the surface, found by hashing.

Nothing is stored and nothing depends on other frames, so any frame can be made alone. Numbers are read by the nearest
pixel and never interpolated, which would make neighbours alike (METHODS: Moran's I); a number is given to one pixel of
a frame only. Pixels that share a cell with a nearer one, and those beyond all surfaces, have numbers of their own that
stay where they are on the screen.
"""
from __future__ import annotations

import numpy as np

from .motion import BEYOND, Moment

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SCREEN = np.uint64(1) << np.uint64(63)


def cells(moment: Moment, rest: np.ndarray) -> np.ndarray:
    """Return the cell that each pixel of a moment holds the number of: H·W uint64.

    Args:
        moment: What is seen, with pixels as large as those of the noise.
        rest: N×3 vertices of a frame of the shot, in its box; the same for all moments. Cells are cubes there.
    """
    points, view = moment.points, moment.view
    pixel = np.arange(view.width * view.height, dtype=np.uint64)
    result = _mixed(pixel | _SCREEN)
    on = np.flatnonzero(points.label != BEYOND)
    if not len(on):
        return result
    corners = rest[moment.triangles[points.triangle[on]]]
    place = np.einsum("nij,ni->nj", corners, points.weights[on])
    depth = points.depth[on].astype(np.float64) if view.perspective else np.ones(len(on))
    level = np.rint(np.log2(np.maximum(depth, 1e-9) / view.scales())).astype(np.int64)  # of a pixel's size
    grid = place / np.exp2(level)[:, None]
    cell = np.floor(grid).astype(np.int64)
    key = _mixed(level.astype(np.uint64))
    for part in (points.label[on].astype(np.int64), *cell.T):
        key = _mixed(key ^ part.astype(np.uint64))
    key &= ~_SCREEN
    away = ((grid - cell - 0.5) ** 2).sum(1)
    order = np.lexsort((away, key))
    first = np.ones(len(order), bool)
    first[1:] = key[order[1:]] != key[order[:-1]]
    chosen = order[first]  # of each cell the pixel that is nearest to its middle
    result[on[chosen]] = key[chosen]
    return result


def drawn(keys: np.ndarray, channels: int, seed: int) -> np.ndarray:
    """Return the numbers of cells: N×channels float32, normal with mean 0 and variance 1.

    Args:
        keys: N, from `cells`.
        channels: Numbers for each.
        seed: Of the noise: another gives others everywhere.
    """
    start = _mixed(np.array([seed], np.uint64))
    result = np.empty((len(keys), channels), np.float32)
    for channel in range(channels):
        one = _mixed(_mixed(keys ^ start) ^ np.uint64(channel + 1))
        other = _mixed(one + _GOLDEN)
        radius = np.sqrt(-2 * np.log(((one >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53))
        result[:, channel] = radius * np.cos(2 * np.pi * (other >> np.uint64(11)).astype(np.float64) / 2.0**53)
    return result


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Return well-mixed numbers (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        keys = keys + _GOLDEN
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return keys ^ (keys >> np.uint64(31))
