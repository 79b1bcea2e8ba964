"""Pixels from one form into another. Pure numpy: safe on any thread, no bpy.

"Ours" everywhere: H×W×4 uint8, row 0 on top, sRGB as displayed, straight alpha. "Blender's": rows bottom-up, float32.
"""
from __future__ import annotations

import numpy as np

from ..protocol.errors import SourceUnusable


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer curve (IEC 61966-2-1), linear 0..1 → encoded 0..1; values outside are clipped."""
    x = np.clip(linear, 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4, dtype=np.float32) - 0.055)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """0..1 → 0..255, rounded; values outside are clipped."""
    return (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def from_buffer(buffer: np.ndarray, width: int, height: int, channels: int, *, linear: bool, premultiplied: bool, opaque: bool,
                name: str) -> np.ndarray:
    """Blender's flat buffer of `width * height * channels` float32 as ours.

    `linear`: the colours are scene-linear Rec. 709. `premultiplied`: with associated alpha. `opaque`: alpha is not
    transparency and becomes 255. Raises SourceUnusable, naming the image `name`, for NaN and infinite values.
    """
    rows = buffer.reshape(height, width, channels)[::-1]
    if not np.isfinite(rows).all():
        raise not_finite(name)
    colour = rows[..., :3] if channels >= 3 else np.repeat(rows[..., :1], 3, axis=2)
    has_alpha = channels in (2, 4) and not opaque
    alpha = rows[..., -1:] if has_alpha else np.ones((height, width, 1), np.float32)
    if premultiplied and has_alpha:
        colour = np.divide(colour, alpha, out=colour.copy(), where=alpha > 0)  # alpha 0: light without cover stays as it is
    if linear:
        colour = srgb_from_linear(colour)
    return to_bytes(np.concatenate([colour, alpha], axis=2))


def from_targa(data: bytes) -> np.ndarray:
    """The uncompressed 24- or 32-bit Targa file that Blender writes (its type 2), as ours. Raises ValueError for another."""
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (12, 14))
    channels = data[16] // 8
    if data[2] != 2 or channels not in (3, 4):
        raise ValueError("not an uncompressed Targa file")
    rows = np.frombuffer(data, np.uint8, width * height * channels, 18 + data[0]).reshape(height, width, channels)
    if not data[17] & 0x20:  # the first row in the file is the lowest
        rows = rows[::-1]
    out = np.full((height, width, 4), 255, np.uint8)
    out[..., :3] = rows[..., 2::-1]
    if channels == 4:
        out[..., 3] = rows[..., 3]
    return out


def from_array(array: np.ndarray) -> np.ndarray:
    """An H×W×3|4 array (uint8, or float 0..1; sRGB as displayed, row 0 on top, straight alpha) as ours.
    Raises SourceUnusable for another shape, another type of number, NaN and infinite values."""
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise SourceUnusable(f"The source array has the shape {array.shape}.", "It must be height × width × 3 or 4.")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise not_finite("array")
        array = to_bytes(array)
    elif array.dtype != np.uint8:
        raise SourceUnusable(f"The source array holds {array.dtype}.", "It must hold uint8, or floats from 0 to 1.")
    out = np.full((*array.shape[:2], 4), 255, np.uint8)
    out[..., : array.shape[2]] = array
    return out


def not_finite(name: str) -> SourceUnusable:
    return SourceUnusable(f"The source '{name}' has pixels that are NaN or infinite.", "Repair or repaint them first.")
