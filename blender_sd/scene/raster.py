"""Which pixels lie in the UV area of some triangles. Plain numpy, on any thread."""
from __future__ import annotations

import numpy as np

_SMALL = (2, 4, 8, 16)  # pixels a side; triangles within so many are drawn together, larger ones one by one
_AT_ONCE = 1 << 18  # pixels that are looked at together
_NEAR = -0.499  # pixels beyond an edge that still count


def covered(triangles: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of an image that UV triangles touch.

    UVs beyond 0..1 fall on the image as a repeating texture does. A pixel counts if the triangle comes within half a
    pixel of its middle, so that no sliver is lost and neighbouring faces leave no gap.

    Args:
        triangles: N×3×2 UVs.
        size: (width, height) of the image in pixels.

    Returns:
        H×W bool, row 0 on top.
    """
    width, height = size
    mask = np.zeros((height, width), bool)
    corners = triangles.astype(np.float64) * (width, height)
    corners = corners[np.isfinite(corners).all((1, 2))]
    low, high = np.floor(corners.min(1) - 0.5), np.ceil(corners.max(1) + 0.5)
    reach = (high - low).max(1)
    for corner in corners[reach > _SMALL[-1]]:
        _draw(mask, corner)
    for least, side in zip((0, *_SMALL), _SMALL):
        chosen = np.flatnonzero((reach > least) & (reach <= side))
        for start in range(0, len(chosen), max(1, _AT_ONCE // side**2)):
            part = chosen[start : start + max(1, _AT_ONCE // side**2)]
            _draw_small(mask, corners[part], low[part], high[part], side)
    return mask[::-1]


def _draw(mask: np.ndarray, corner: np.ndarray) -> None:
    """Mark one triangle (3×2, in pixels, v upwards) in `mask` (row 0 at the bottom)."""
    height, width = mask.shape
    low = np.floor(corner.min(0) - 0.5).astype(np.int64)
    high = np.ceil(corner.max(0) + 0.5).astype(np.int64)
    if ((high - low) > 16 * np.array((width, height))).any():  # over so many repeats that it covers all
        mask[:] = True
        return
    x = np.arange(low[0], high[0]) + 0.5
    y = np.arange(low[1], high[1])[:, None] + 0.5
    edge = np.roll(corner, -1, 0) - corner
    turn = 1.0 if edge[0, 0] * edge[1, 1] - edge[0, 1] * edge[1, 0] >= 0 else -1.0
    inside = np.ones((len(y), len(x)), bool)
    for (u, v), (across, up) in zip(corner, edge, strict=True):
        length = float(np.hypot(across, up)) or 1.0
        inside &= turn * (across * (y - v) - up * (x - u)) / length > _NEAR
    rows, columns = np.nonzero(inside)
    mask[(rows + low[1]) % height, (columns + low[0]) % width] = True


def _draw_small(mask: np.ndarray, corners: np.ndarray, low: np.ndarray, high: np.ndarray, side: int) -> None:
    """Mark triangles (N×3×2) as `_draw` does, each between its `low` and `high` (N×2), at most `side` pixels apart."""
    height, width = mask.shape
    x = low[:, 0, None, None] + np.arange(side) + 0.5
    y = low[:, 1, None, None] + np.arange(side)[:, None] + 0.5
    edges = np.roll(corners, -1, 1) - corners
    turn = np.where(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0] >= 0, 1.0, -1.0)
    inside = (x < high[:, 0, None, None]) & (y < high[:, 1, None, None])
    for place in range(3):
        (u, v), (across, up) = (part[:, place].T[..., None, None] for part in (corners, edges))
        length = np.hypot(across, up)
        length[length == 0] = 1.0
        inside &= turn[:, None, None] * (across * (y - v) - up * (x - u)) / length > _NEAR
    number, rows, columns = np.nonzero(inside)
    mask[(rows + low[number, 1].astype(np.int64)) % height, (columns + low[number, 0].astype(np.int64)) % width] = True
