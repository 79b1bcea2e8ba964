"""Pictures that scripts hand over, arrays and PIL images of every kind, as they travel: H×W×4 uint8, row 0 on top, sRGB
as displayed, straight alpha. Needs numpy alone; PIL images are used without importing PIL, which Blender lacks.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import SourceUnusable

_DEEP = 65535  # white in 16 bits
_KINDS = "Give uint8, uint16, bool, or floats from 0 to 1."


def is_picture(obj: Any) -> bool:
    """Return whether `obj` is an array or a PIL image."""
    return isinstance(obj, np.ndarray) or hasattr(obj, "convert") and hasattr(obj, "mode")


def pixels_of(obj: Any) -> np.ndarray:
    """Return an array or a PIL image as pixels that travel.

    Args:
        obj: A PIL image of any mode; or an array H×W (grey), or H×W×1, 2 (grey and alpha), 3 or 4, of bool, uint8,
            uint16 (0 to 65535), or floats from 0 to 1.

    Raises:
        SourceUnusable: Another shape or type of number, NaN or infinite values, floats that run to 255 or 65535.
    """
    return _of_pil(obj) if hasattr(obj, "convert") else _of_array(np.asarray(obj))


def _of_pil(image: Any) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):  # 16 bits of grey, whatever holds them; Pillow's own conversion would clip them
        return _of_array(np.clip(np.asarray(image).astype(np.int64), 0, _DEEP).astype(np.uint16))
    if mode == "F":
        return _of_array(np.asarray(image))
    for step in ((), ("RGB",), ("LA",)):  # a few modes have no direct way
        try:
            made = image
            for between in step:
                made = made.convert(between)
            return _of_array(np.asarray(made.convert("RGBA")))
        except ValueError:
            continue
    raise SourceUnusable(f"The source is a PIL image of the mode {mode}, which cannot be read.",
                         "Convert it to RGB or RGBA.")


def _of_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or 0 in array.shape:
        raise SourceUnusable(f"The source array has the shape {array.shape}.",
                             "It must be height × width, or height × width × 1 to 4.")
    eight = _eight_bits(array)
    if array.shape[2] == 4:
        return np.array(eight, order="C")  # a copy: the caller's array may change
    out = np.full((*array.shape[:2], 4), 255, np.uint8)
    for channel in range(3):  # one by one is many times faster than all at once
        out[..., channel] = eight[..., channel if array.shape[2] == 3 else 0]  # grey goes into all three
    if array.shape[2] == 2:
        out[..., 3] = eight[..., 1]
    return out


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise SourceUnusable("The source has pixels that are NaN or infinite.", "Repair or repaint them first.")
        _check_range(array)
        return (np.clip(array, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return ((array.astype(np.uint32) * 255 + _DEEP // 2) // _DEEP).astype(np.uint8)
    raise SourceUnusable(f"The source array holds {array.dtype}.", _KINDS)


def _check_range(array: np.ndarray) -> None:
    """Refuse floats that were meant to run to 255 or 65535: of what is not black, most is above 1. Bright spots of a
    render are few."""
    lit = array[array > 0]
    if lit.size and np.count_nonzero(lit > 1.0) * 2 > lit.size:
        most = float(lit.max())
        white = 255 if most <= 255 else _DEEP
        raise SourceUnusable(f"The source holds floats up to {most:g}; they must run from 0 to 1.",
                             f"Divide it by {white}, or give it as uint{8 if white == 255 else 16}.")
