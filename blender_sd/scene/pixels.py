"""Convert pixels from one form into another. Pure numpy: safe on any thread, no bpy.

"Our form" everywhere: H×W×4 uint8, row 0 on top, sRGB as displayed, straight alpha. "Blender's form": rows bottom-up,
float32.
"""
from __future__ import annotations

import numpy as np

from ..core.errors import SourceUnusable


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """Encode linear values with the sRGB transfer curve (IEC 61966-2-1), 0 to 1; values outside are clipped."""
    x = np.clip(linear, 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4, dtype=np.float32) - 0.055)


def linear_from_srgb(encoded: np.ndarray) -> np.ndarray:
    """Decode sRGB values to linear ones, 0 to 1: the inverse of `srgb_from_linear`."""
    x = np.clip(encoded, 0.0, 1.0)
    return np.where(x <= 0.04045, x / 12.92, np.power((x + 0.055) / 1.055, 2.4, dtype=np.float32))


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Convert 0..1 to 0..255, rounded; values outside are clipped."""
    return (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def from_buffer(buffer: np.ndarray, width: int, height: int, channels: int, *, linear: bool, premultiplied: bool,
                opaque: bool,
                name: str) -> np.ndarray:
    """Return Blender's flat buffer of `width * height * channels` float32 in our form.

    Args:
        buffer: The pixels.
        width: Pixels.
        height: Pixels.
        channels: 1 to 4.
        linear: Whether the colours are scene-linear Rec. 709.
        premultiplied: Whether alpha is associated.
        opaque: Whether alpha is no transparency and becomes 255.
        name: The image's name, for messages.

    Raises:
        SourceUnusable: There are NaN or infinite values.
    """
    rows = buffer.reshape(height, width, channels)[::-1]
    if not np.isfinite(rows).all():
        raise not_finite(name)
    colour = rows[..., :3] if channels >= 3 else np.repeat(rows[..., :1], 3, axis=2)
    has_alpha = channels in (2, 4) and not opaque
    alpha = rows[..., -1:] if has_alpha else np.ones((height, width, 1), np.float32)
    if premultiplied and has_alpha:
        # Where alpha is 0, the colour is additive light and stays
        colour = np.divide(colour, alpha, out=colour.copy(), where=alpha > 0)
    if linear:
        colour = srgb_from_linear(colour)
    return to_bytes(np.concatenate([colour, alpha], axis=2))


def from_targa(data: bytes) -> np.ndarray:
    """Return the uncompressed 24- or 32-bit Targa file that Blender writes (type 2) in our form. Raises ValueError for
    another.
    """
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (12, 14))
    channels = data[16] // 8
    if data[2] != 2 or channels not in (3, 4):
        raise ValueError("not an uncompressed Targa file")
    rows = np.frombuffer(data, np.uint8, width * height * channels, 18 + data[0]).reshape(height, width, channels)
    if not data[17] & 0x20:  # row 0 is at the bottom
        rows = rows[::-1]
    out = np.full((height, width, 4), 255, np.uint8)
    out[..., :3] = rows[..., 2::-1]
    if channels == 4:
        out[..., 3] = rows[..., 3]
    return out


def not_finite(name: str) -> SourceUnusable:
    """Return the error for pixels that are NaN or infinite."""
    return SourceUnusable(f"The source '{name}' has pixels that are NaN or infinite.", "Repair or repaint them first.")
