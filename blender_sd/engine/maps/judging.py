"""Look at a picture before its maps are made: does it repeat, is it a normal map, is it a material at all?"""
from __future__ import annotations

import numpy as np

from ...core.errors import SourceUnusable

_SEAM = 2.2  # times the usual step between neighbours that the step across a seam may have
_LOOKED_AT = 512  # pixels a side, roughly, that are looked at
_UNIT, _ROUGHLY = 0.06, 0.12  # how far normals are from unit length: as they were written, and after JPEG or scaling
_MOST = 0.97
_AHEAD, _TILTED = 0.12, 0.4  # the mean that x and y of normals may have
_BACK = -0.05  # what the z of normals that face the viewer is not below
_TOGETHER = 0.7  # the correlation from which channels follow each other
_BOX = 4  # pixels a side over which JPEG's coarser colours agree with its brightness again
_BLUE, _LONG = 0.3, 1.1  # the mean z of normals at least, and the length that means of normals do not reach
_BRIGHT = 0.9  # the correlation with z from which x or y is but brightness: JPEG leaves some of it in normals
_FLAT = 0.05  # how far one colour throughout may be from straight normals
_BLOCKS = 4
# Share of a picture's unevenness that lies between its parts, from which it is likely no material: one that repeats may
# be a few large tiles; photographs of something else do not repeat.
_UNLIKE, _UNLIKE_ONCE = 0.62, 0.3
_UNEVEN_ONCE = 0.7  # how much the logarithm of the parts' unevenness varies in a picture that does not repeat
_CONTRAST = 400  # the least variance, of 255, of a picture in which anything can be told apart
_SAME = 4  # levels within which a background is plain
_BORDER, _BACKGROUND = 0.9, 0.2  # shares of the border, and of the whole picture, that a plain background has


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
    """Raise SourceUnusable if a picture (H, W, 3) uint8 is a normal map: of tangent space, green up or down, also
    after JPEG, scaling or an sRGB curve, or with a blue that holds nothing; or of object space."""
    picture = _thinned(pixels, _LOOKED_AT)[..., :3]
    shown = picture.reshape(-1, 3)
    drawn = shown[shown.any(-1)]  # an atlas is black between its islands
    if len(drawn) * 2 < len(shown):
        return
    values = drawn.astype(np.float32) / 255
    decoded = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    if _are_normals(values * 2 - 1) or _are_normals(decoded * 2 - 1) or _are_normals(
            np.concatenate([values[:, :2] * 2 - 1, values[:, 2:]], -1)) or _are_two_axes(values) or (
            len(drawn) == len(shown) and _were_normals(picture)):
        raise SourceUnusable("The picture is a normal map, from which no other maps can be made.",
                             "Choose the picture of the material itself, such as its base color.")


def _thinned(pixels: np.ndarray, most: int) -> np.ndarray:
    """Return every so many rows and columns of a picture: at most twice `most` of each."""
    rows, columns = (max(1, side // most) for side in pixels.shape[:2])
    return pixels[::rows, ::columns]


def _are_normals(vectors: np.ndarray) -> bool:
    """Return whether vectors (N, 3) are normals."""
    sides, spread = np.abs(vectors.mean(0)), float(vectors.std(0).sum())
    if spread < _FLAT:  # one colour
        return bool((np.abs(vectors.mean(0) - (0, 0, 1)) < _FLAT).all())
    exact = (np.abs(np.linalg.norm(vectors, axis=-1) - 1) < _UNIT).mean() > _MOST
    ahead = (vectors[:, 2] > _BACK).mean() > _MOST
    if exact and (ahead and sides[:2].max() < _TILTED or spread > 1):  # those of object space point everywhere
        return True
    straight = np.sqrt(np.clip(1 - np.square(vectors[:, :2]).sum(-1), 0, 1))
    error = np.abs(vectors[:, 2] - straight)
    near = np.sqrt(np.square(error).mean()) < _ROUGHLY or np.median(error) < _UNIT and (error < 0.2).mean() > 0.8
    return bool(ahead and sides[:2].max() < _AHEAD and near and not _follow(vectors[:, 2], vectors[:, :2].sum(-1)))


def _were_normals(picture: np.ndarray) -> bool:
    """Return whether a picture (H, W, 3) uint8 shows normals that JPEG or scaling has averaged: around straight ahead,
    x and y independent of each other, none longer than a normal."""
    box = _BOX if min(picture.shape[:2]) >= 32 * _BOX else _BOX // 2
    rows, columns = (side // box for side in picture.shape[:2])
    if min(rows, columns) < 8:
        return False
    boxes = picture[:rows * box, :columns * box].reshape(rows, box, columns, box, 3)
    x, y, z = (boxes.mean((1, 3), dtype=np.float32).reshape(-1, 3) / 127.5 - 1).T
    if max(abs(x.mean()), abs(y.mean())) > _AHEAD or z.mean() < _BLUE or min(x.std(), y.std()) < 0.005:
        return False
    lengths = np.sqrt(x * x + y * y + z * z)
    return bool((lengths > _LONG).mean() < 0.02 and abs(_correlation(x, y)) < _TOGETHER
                and max(_correlation(x, z), _correlation(y, z)) < _BRIGHT)


def _correlation(values: np.ndarray, others: np.ndarray) -> float:
    spread = float(values.std() * others.std())
    return float(np.mean((values - values.mean()) * (others - others.mean()))) / spread if spread > 1e-9 else 0.0


def _follow(values: np.ndarray, others: np.ndarray) -> bool:
    """Return whether numbers follow others, as the channels of a lit colour do."""
    return _correlation(values, others) > _TOGETHER


def _are_two_axes(values: np.ndarray) -> bool:
    """Return whether colours (N, 3) from 0 to 1 are normals without their z, beside a blue that is full or empty."""
    if np.ptp(values[:, 2]) > 0.01 or 0.01 < values[0, 2] < 0.99:
        return False
    sides = values[:, :2] * 2 - 1
    if (np.square(sides).sum(-1) > 1 + _UNIT).mean() > 1 - _MOST or np.abs(sides.mean(0)).max() > _AHEAD:
        return False
    return bool(sides.std(0).min() > 1e-3 and not _follow(sides[:, 0], sides[:, 1]))


def doubts(pixels: np.ndarray, repeats: bool = False) -> list[str]:
    """Return notes on what makes a picture unlikely to be a material, for the person to judge.

    Args:
        pixels: (H, W, 3) uint8.
        repeats: Whether it repeats without a seam in both directions.
    """
    small = min(pixels.shape[:2]) < 8 * _BLOCKS
    pixels = _thinned(pixels, 2 * _LOOKED_AT)
    height, width = pixels.shape[:2]
    if float(pixels.std((0, 1)).max()) < 0.5:
        return ["The picture has one colour throughout, so its maps are flat."]
    if small:
        return ["The picture is small, so its maps show little detail."]
    rows, columns = height // _BLOCKS, width // _BLOCKS
    blocks = pixels[:rows * _BLOCKS, :columns * _BLOCKS].astype(np.float32)
    blocks = blocks.reshape(_BLOCKS, rows, _BLOCKS, columns, 3)
    total = float(blocks.var((0, 1, 2, 3)).sum())
    if total < _CONTRAST:
        return []
    if _has_background(pixels):
        return ["The picture may show no material but something in front of a plain background. Use an even view of "
                "one surface."]
    between = float(blocks.mean((1, 3)).reshape(-1, 3).var(0).sum())
    uneven = float(np.log(blocks.var((1, 3)).sum(-1) + 16).std())
    if between > (_UNLIKE if repeats else _UNLIKE_ONCE) * total or not repeats and uneven > _UNEVEN_ONCE:
        return ["The picture may show no material: its parts look too different from each other. Use an even view of "
                "one surface."]
    return []


def _has_background(pixels: np.ndarray) -> bool:
    """Return whether a picture has one colour nearly everywhere along its border, and in much of the rest."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    colour = np.median(border, 0)
    if (np.abs(border - colour).max(-1) <= _SAME).mean() < _BORDER:
        return False
    return bool((np.abs(pixels.astype(np.int16) - colour).max(-1) <= _SAME).mean() > _BACKGROUND)
