"""Colours between pictures and linear light."""
from __future__ import annotations

import numpy as np

from ..core.errors import SourceUnusable


def linear(pixels: np.ndarray) -> np.ndarray:
    """Return a picture as H×W×4 float32 in linear light with straight alpha.

    Args:
        pixels: H×W×3 or H×W×4, row 0 on top: uint8 in sRGB as displayed, or float in linear light.

    Raises:
        SourceUnusable: The array has another shape, or numbers that are not finite.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or 0 in pixels.shape:
        raise SourceUnusable("A picture has no pixels.", "Choose a picture that can be displayed.")
    result = np.ones((*pixels.shape[:2], 4), np.float32)
    if pixels.dtype == np.uint8:
        result[..., :3] = _LINEAR[pixels[..., :3]]
        if pixels.shape[2] == 4:
            result[..., 3] = pixels[..., 3] / np.float32(255)
        return result
    result[..., : pixels.shape[2]] = pixels
    if not np.isfinite(result).all():
        raise SourceUnusable("A picture has pixels that are not finite numbers.", "Render or save it again.")
    return result


def displayed(values: np.ndarray) -> np.ndarray:
    """Return linear light as uint8 sRGB, rounded to the nearest step."""
    return np.searchsorted(_STEPS, np.asarray(values, np.float32)).astype(np.uint8)


def _linear_of(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear_of(np.arange(256) / 255).astype(np.float32)
_STEPS = _linear_of((np.arange(255) + 0.5) / 255).astype(np.float32)  # where the next step begins
