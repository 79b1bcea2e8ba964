"""Cut pieces out of a picture together with what surrounds them, round the border where it wraps around."""
from __future__ import annotations

import torch
from torch import Tensor

from .network import STRIDE


def padded(picture: Tensor, across: tuple[int, int], down: tuple[int, int], margin: int,
           wraps: tuple[bool, bool]) -> Tensor:
    """Return a piece of a picture (1, C, H, W) with a margin on all sides, its sides multiples of `STRIDE`.

    Args:
        picture: The picture.
        across, down: Where the piece begins, and its length, in pixels.
        margin: Pixels on each side; more on the far sides where that is needed.
        wraps: Whether the picture wraps around across, and down; where it does not, it is mirrored.
    """
    rows = _places(*down, margin, picture.shape[-2], wraps[1])
    columns = _places(*across, margin, picture.shape[-1], wraps[0])
    return picture[..., rows[:, None], columns[None]]


def _places(start: int, length: int, margin: int, side: int, wraps: bool) -> Tensor:
    places = torch.arange(start - margin, start + -(-length // STRIDE) * STRIDE + margin)
    if wraps:
        return places % side
    places = places % (2 * side)
    return torch.where(places < side, places, 2 * side - 1 - places)
