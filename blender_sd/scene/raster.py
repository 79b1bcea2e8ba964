"""Which pixels lie in the UV area of some triangles. Plain numpy, on any thread."""
from __future__ import annotations

import numpy as np


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
    for corner in corners[np.isfinite(corners).all((1, 2))]:
        _draw(mask, corner)
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
        inside &= turn * (across * (y - v) - up * (x - u)) / length > -0.499
    rows, columns = np.nonzero(inside)
    mask[(rows + low[1]) % height, (columns + low[0]) % width] = True
