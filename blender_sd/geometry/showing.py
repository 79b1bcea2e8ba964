"""Show a surface as a view sees it: with its textures, unlit, and as the pictures that ControlNets read."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .agreement import Sight
from .sheets import Sheet
from .surface import Surface

_CREASE = np.cos(np.radians(30.0))  # as the scene's own line pictures


def textured(surface: Surface, sight: Sight, sheets: Sequence[Sheet], images: Sequence[np.ndarray | None],
             empty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a view shows of the objects' own images, and where it shows any.

    Args:
        surface: The triangles.
        sight: What the view sees.
        sheets: The images' places.
        images: Each h×w×K uint8, row 0 on top; None for a sheet without one.
        empty: K values for pixels that see no image.

    Returns:
        H×W×K float32 from 0 to 255, and H×W bool.
    """
    height, width = sight.view.height, sight.view.width
    result = np.broadcast_to(empty.astype(np.float32), (height * width, len(empty))).copy()
    shown = np.zeros(height * width, bool)
    uv = coordinates(surface, sight)
    texture = surface.textures[sight.triangle]
    for sheet, image in zip(sheets, images):
        chosen = texture == sheet.texture
        if sheet.tile is not None:
            chosen &= (np.floor(uv) == sheet.tile).all(1)
        if image is None or not chosen.any():
            continue
        place = (uv[chosen] % 1.0) * [image.shape[1], image.shape[0]]
        column, row = place[:, 0] - 0.5, image.shape[0] - place[:, 1] - 0.5
        result[sight.pixel[chosen]] = _bilinear(image, row, column)
        shown[sight.pixel[chosen]] = True
    return result.reshape(height, width, -1), shown.reshape(height, width)


def coordinates(surface: Surface, sight: Sight) -> np.ndarray:
    """Return the texture coordinates of what a view's pixels see, n×2."""
    return np.einsum("nij,ni->nj", surface.uv[sight.triangle], surface.weights(sight.triangle, sight.points))


def _bilinear(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    total = np.zeros((len(row), image.shape[2]), np.float32)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
            values = image[np.clip(top + down, 0, image.shape[0] - 1), np.clip(left + right, 0, image.shape[1] - 1)]
            total += values * weight[:, None].astype(np.float32)
    return total


def depth(sight: Sight) -> np.ndarray:
    """Return near as white and nothing as black, linear in 1/distance: H×W×3 uint8."""
    near = np.where(np.isfinite(sight.hits.depth), 1 / np.maximum(sight.hits.depth, 1e-9), 0)[1:-1, 1:-1]
    there = near > 0
    if not there.any():
        return np.zeros((*near.shape, 3), np.uint8)
    low, high = near[there].min(), near[there].max()
    grey = np.where(there, 1 + 254 * (near - low) / max(high - low, 1e-12), 0)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)


def normals(sight: Sight) -> np.ndarray:
    """Return the normals as the camera sees them, right, up and towards it as red, green and blue: H×W×3 uint8."""
    facing = _facing(sight)
    facing[(facing == 0).all(-1)] = [0, 0, 1]
    return np.rint((facing + 1) * 127.5).astype(np.uint8)


def lines(sight: Sight) -> np.ndarray:
    """Return outlines and creases, white on black: H×W×3 uint8."""
    facing, regions = _facing(sight), sight.hits.regions[1:-1, 1:-1]
    line = np.zeros(regions.shape, bool)
    for axis in (0, 1):
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        one, other = tuple(behind), tuple(ahead)
        bent = (facing[one] * facing[other]).sum(-1) < _CREASE
        line[one] |= (regions[one] != regions[other]) | bent & (regions[one] >= 0)
    return np.repeat(np.where(line, np.uint8(255), np.uint8(0))[..., None], 3, 2)


CONTROLS = {"depth": depth, "normal": normals, "lines": lines}


def _facing(sight: Sight) -> np.ndarray:
    result = np.zeros((sight.view.height * sight.view.width, 3))
    axes = sight.view.axes * np.array([[1.0], [1.0], [-1.0]])
    result[sight.pixel] = sight.normals @ axes.T
    return result.reshape(sight.view.height, sight.view.width, 3)
