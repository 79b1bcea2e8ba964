"""Look at a picture before its maps are made: does it repeat, is it a normal map, is it a material at all?"""
from __future__ import annotations

import numpy as np

from ...core.errors import SourceUnusable

_SEAM = 2.2  # times the usual step between neighbours that the step across a seam may have
_UNIT = 0.06  # how far the length of a normal map's vectors is from 1, at most, in most places
_MOST = 0.97
_BLOCKS = 4
_UNLIKE = 0.62  # share of a picture's unevenness that lies between its parts, from which it is likely no material


def seam_ratios(pixels: np.ndarray) -> tuple[float, float]:
    """Return the mean step across the wrap over the mean step inside, across and down; 1 is ideal.

    Args:
        pixels: (H, W, C) numbers.
    """
    values = pixels.astype(np.float32)
    result = []
    for axis in (1, 0):
        inside = np.abs(np.diff(values, axis=axis)).mean() if values.shape[axis] > 1 else 0.0
        seam = np.abs(values.take(0, axis) - values.take(-1, axis)).mean()
        result.append(float(seam / max(inside, 0.5)) if seam > 1.0 else 0.0)
    return result[0], result[1]


def wraps(pixels: np.ndarray) -> tuple[bool, bool]:
    """Return whether a picture repeats without a seam, across and down."""
    across, down = seam_ratios(pixels)
    return across < _SEAM, down < _SEAM


def refuse_normal_map(pixels: np.ndarray) -> None:
    """Raise SourceUnusable if a picture (H, W, 3) uint8 is a tangent-space normal map: unit vectors that face the
    viewer, on average straight."""
    vectors = pixels[..., :3].astype(np.float32) / 127.5 - 1
    length = np.linalg.norm(vectors, axis=-1)
    mean = vectors.mean((0, 1))
    if ((np.abs(length - 1) < _UNIT).mean() > _MOST and mean[2] > 0.6 and abs(mean[0]) < 0.15 and abs(mean[1]) < 0.15
            and (vectors[..., 2] > -0.05).mean() > _MOST):
        raise SourceUnusable("The picture is a normal map, from which no other maps can be made.",
                             "Choose the picture of the material itself, such as its base color.")


def doubts(pixels: np.ndarray) -> list[str]:
    """Return notes on what makes a picture (H, W, 3) uint8 unlikely to be a material, for the person to judge."""
    height, width = pixels.shape[:2]
    if float(pixels.std((0, 1)).max()) < 0.5:
        return ["The picture has one colour throughout, so its maps are flat."]
    if min(height, width) < 8 * _BLOCKS:
        return ["The picture is small, so its maps show little detail."]
    rows, columns = height // _BLOCKS, width // _BLOCKS
    blocks = pixels[:rows * _BLOCKS, :columns * _BLOCKS].astype(np.float32)
    blocks = blocks.reshape(_BLOCKS, rows, _BLOCKS, columns, 3)
    means = blocks.mean((1, 3))
    between = float(means.reshape(-1, 3).var(0).sum())
    total = float(blocks.var((0, 1, 2, 3)).sum())
    if between > _UNLIKE * total and total > 400:
        return ["The picture may show no material: its parts look too different from each other. Use an even view of "
                "one surface."]
    return []
