"""Masks of what is repainted: read, grown, feathered and cropped, and painted pictures pasted back through them.

A mask is H×W bool, True where the picture is repainted. A weight is H×W float32 from 0 (the source's own pixels, bit
for bit) to 1. Row 0 is at the top. Distances are Euclidean, and wrap round the border along the axes of `tiling`.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from ...core.errors import SourceUnusable
from ...protocol.messages import Source
from ..conditioning import sources


def read(source: Source | None, kind: str, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Return the mask in a picture, and a note if it had to be resampled, else "".

    Args:
        source: The picture that holds the mask.
        kind: "white": bright (and opaque) parts are repainted; "alpha": transparent ones.
        size: (width, height) of the mask in pixels.

    Raises:
        SourceUnusable: The picture is missing or broken.
    """
    if source is None:
        raise SourceUnusable("There is no mask.", "Choose or paint one.")
    picture, alpha = sources.open_source(source)
    if kind == "alpha":
        grey = Image.new("L", picture.size, 0) if alpha is None else alpha.point(lambda value: 255 - value)
    else:
        grey = picture.convert("L")
        if alpha is not None:
            grey = Image.fromarray((np.asarray(grey, np.uint16) * np.asarray(alpha) // 255).astype(np.uint8))
    note = ""
    if grey.size != size:
        note = f"The mask of {grey.width} × {grey.height} pixels was brought to the picture's {size[0]} × {size[1]}."
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(grey) >= 128, note


def grown(mask: np.ndarray, pixels: int, tiling: str) -> np.ndarray:
    """Return the mask with its edge moved outwards by `pixels`, or inwards if negative."""
    if pixels == 0 or not mask.any() or mask.all():
        return mask
    if pixels > 0:
        return _distance(~mask, pixels, tiling) <= pixels
    return _distance(mask, -pixels, tiling) > -pixels


def feathered(mask: np.ndarray, pixels: int, tiling: str) -> np.ndarray:
    """Return the weight of a mask: 0 outside, rising linearly to 1 over `pixels` inside its edge."""
    if pixels <= 0 or not mask.any() or mask.all():
        return mask.astype(np.float32)
    return np.minimum(_distance(mask, pixels, tiling) / (pixels + 1), 1.0).astype(np.float32)


def filled(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `pixels` (H×W×3 uint8) with the masked part filled with the nearest unmasked colours, blurred.

    This gives the first noise something to lie on. Unmasked pixels are unchanged.
    """
    if not mask.any() or mask.all():
        return pixels
    nearest = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    spread = pixels[tuple(nearest)]
    soft = ndimage.uniform_filter(spread.astype(np.float32), (9, 9, 0), mode="nearest")
    return np.where(mask[..., None], np.rint(soft).astype(np.uint8), pixels)


def pasted(below: np.ndarray, above: np.ndarray, weight: np.ndarray) -> Image.Image:
    """Return `above` over `below` (H×W×3 uint8) by `weight`; at weight 0, the pixels of `below` bit for bit."""
    mixed = below + (above.astype(np.float32) - below) * weight[..., None]
    return Image.fromarray(np.where(weight[..., None] > 0, np.rint(mixed).clip(0, 255).astype(np.uint8), below))


@dataclass(frozen=True)
class Crop:
    """A rectangle of the picture, which may lie across its border.

    Attributes:
        down: Pixels to roll the picture down before cutting.
        across: Pixels to roll it to the right before cutting.
        top: First row of the rectangle after rolling.
        left: First column.
        height: Rows.
        width: Columns.
        whole: The axes ("x", "y") that it covers from border to border.
    """

    down: int
    across: int
    top: int
    left: int
    height: int
    width: int
    whole: str

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Return the rectangle's part of `pixels` (H×W or H×W×C)."""
        rolled = np.roll(pixels, (self.down, self.across), (0, 1))
        return np.ascontiguousarray(rolled[self.top : self.top + self.height, self.left : self.left + self.width])

    def put(self, pixels: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Return a copy of `pixels` with `part` where `cut` took it from."""
        rolled = np.roll(pixels, (self.down, self.across), (0, 1))
        rolled[self.top : self.top + self.height, self.left : self.left + self.width] = part
        return np.roll(rolled, (-self.down, -self.across), (0, 1))


def surroundings(mask: np.ndarray, context: int, tiling: str) -> Crop:
    """Return the box round everything that is masked.

    Args:
        mask: H×W bool, not empty.
        context: Pixels to add on each side.
        tiling: The axes along which the box may lie across the border.
    """
    down, top, height = _span(mask.any(1), context, "y" in tiling)
    across, left, width = _span(mask.any(0), context, "x" in tiling)
    whole = ("x" if width == mask.shape[1] else "") + ("y" if height == mask.shape[0] else "")
    return Crop(down, across, top, left, height, width, whole)


def _span(used: np.ndarray, context: int, wraps: bool) -> tuple[int, int, int]:
    """Return (roll, start, length) of what `used` (bool) covers along one axis; if it wraps, the longest gap is left
    out.
    """
    places, length = np.flatnonzero(used), len(used)
    roll = 0
    if wraps:
        gaps = np.diff(np.append(places, places[0] + length))
        roll = -int(places[(int(gaps.argmax()) + 1) % len(places)])  # the first used place after the longest gap
        places = np.sort((places + roll) % length)
        if places[-1] + 1 + 2 * context >= length:
            return 0, 0, length
        return roll + context, 0, int(places[-1]) + 1 + 2 * context
    start, stop = max(0, int(places[0]) - context), min(length, int(places[-1]) + 1 + context)
    return 0, start, stop - start


def _distance(inside: np.ndarray, reach: int, tiling: str) -> np.ndarray:
    """Return each True pixel's distance to the nearest False one: exact up to `reach` pixels, also across the border.
    """
    margins = [min(reach + 1, side) if axis in tiling else 0 for axis, side in zip("yx", inside.shape, strict=True)]
    if not any(margins):
        return ndimage.distance_transform_edt(inside)
    padded = ndimage.distance_transform_edt(np.pad(inside, [(margin, margin) for margin in margins], mode="wrap"))
    return padded[margins[0] : margins[0] + inside.shape[0], margins[1] : margins[1] + inside.shape[1]]
