"""Put baked colours into an image that exists already: feathered, and without touching what is locked."""
from __future__ import annotations

import numpy as np

from .bake import Baked
from .colours import displayed, linear

_NONE, _FULL = 0.22, 0.45  # qualities between which a view is faded in


def weights(baked: Baked, locked: np.ndarray | None = None) -> np.ndarray:
    """Return the share that each texel takes of the baked colours, H×W float32 from 0 to 1.

    It rises smoothly with the quality of the best view, so that a texel that is seen at a flat angle or beside an edge
    keeps most of what it had.

    Args:
        baked: The result of a bake without filling.
        locked: H×W bool: texels that keep what they have.
    """
    share = np.clip((baked.quality - _NONE) / (_FULL - _NONE), 0, 1)
    share = share * share * (3 - 2 * share)
    return np.where(baked.set & ~locked if locked is not None else baked.set, share, 0).astype(np.float32)


def into(existing: np.ndarray, baked: Baked, share: np.ndarray) -> np.ndarray:
    """Return `existing` with the baked colours laid over it in linear light; where `share` is 0, bit for bit.

    Args:
        existing: H×W×4, row 0 on top: uint8 in sRGB, or float32 in linear light; straight alpha.
        baked: The baked colours.
        share: H×W, from `weights`.
    """
    change = share > 0
    part = share[change, None]
    result = existing.copy()
    if not change.any():
        return result
    old = linear(existing[None, change])[0]
    alpha = old[:, 3:]
    total = part + alpha * (1 - part)
    colour = (baked.colours[change] * part + old[:, :3] * alpha * (1 - part)) / np.maximum(total, 1e-6)
    if existing.dtype == np.uint8:
        result[change, :3] = displayed(colour)
        result[change, 3] = np.rint(total[:, 0] * 255).astype(np.uint8)
    else:
        result[change, :3], result[change, 3] = colour, total[:, 0]
    return result
