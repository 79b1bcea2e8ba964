"""Encode arrays as PNG (https://www.w3.org/TR/png-3/): also with 16 bits a value, which Pillow cannot write in colour,
and in Blender's own Python, which has no Pillow. Needs numpy alone."""
from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

_ROWS = 256  # compressed at a time
_KINDS = {1: 0, 3: 2, 4: 6}  # channels -> PNG's colour type
_UP = 2  # the filter: differences to the row above pack smooth maps well, and numpy takes them quickly
_LEVEL = 3


def write(array: np.ndarray, file: BinaryIO, chunks: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Write an array as a PNG file.

    Args:
        array: (H, W) or (H, W, 1, 3 or 4) of uint8 or uint16, row 0 on top, straight alpha.
        file: Where it goes.
        chunks: Chunks that stand before the pixels, as pairs of name and data.

    Raises:
        ValueError: The array is of another kind.
    """
    kind = _KINDS.get(array.shape[2] if array.ndim == 3 else 1)
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or 0 in array.shape or kind is None:
        raise ValueError(f"an array of {array.dtype} {array.shape} is no picture")
    height, width = array.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, kind, 0, 0, 0))
    for name, data in chunks:
        _chunk(file, name, data)
    rows = array.reshape(height, -1)
    packer = zlib.compressobj(_LEVEL)
    above = np.zeros((1, rows.shape[1] * array.dtype.itemsize), np.uint8)
    for start in range(0, height, _ROWS):
        part = rows[start:start + _ROWS]
        raw = (part.astype(">u2") if array.dtype == np.uint16 else np.ascontiguousarray(part)).view(np.uint8)
        filtered = np.full((len(raw), raw.shape[1] + 1), _UP, np.uint8)
        filtered[:, 1:] = raw - np.concatenate((above, raw[:-1]))
        above = raw[-1:]
        if packed := packer.compress(filtered.tobytes()):
            _chunk(file, b"IDAT", packed)
    _chunk(file, b"IDAT", packer.flush())
    _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
