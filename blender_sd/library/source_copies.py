"""Check whether copies of input pictures still match the digest that they are named after.

A request names an input by the digest of its file's bytes or, if it was sent as pixels, by the digest of these
(`messages.Source.digest`). The copy of pixels is a PNG of 8-bit RGBA; it is decoded here, because Blender's side has no
image library. PNG specification: https://www.w3.org/TR/png-3/
"""
from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib

from .paths import open_plain
from .png import SIGNATURE, chunks

MAX_FILE = 1 << 29  # bytes of one file, at most, that are read
_MAX_SIDE = 16384  # pixels
_RGBA8 = (8, 6, 0, 0, 0)  # bit depth, colour type, compression, filter, no interlacing


def holds(path: str | os.PathLike, digest: str) -> bool:
    """Return whether the file at `path` is the picture with the digest "sha256:…". Raise OSError."""
    data, wanted = _read(path), digest.removeprefix("sha256:")
    return data is not None and (hashlib.sha256(data).hexdigest() == wanted or _pixels_digest(data) == wanted)


def holds_pixels(path: str | os.PathLike, digest: str) -> bool:
    """Return whether the file at `path`, whose bytes have another digest, holds the pixels with the digest "sha256:…".

    Raises:
        OSError: It cannot be read.
    """
    data = _read(path)
    return data is not None and _pixels_digest(data) == digest.removeprefix("sha256:")


def _read(path: str | os.PathLike) -> bytes | None:
    """Return the file's bytes, or None if it is too large."""
    with open_plain(path) as file:
        data = file.read(MAX_FILE + 1)
    return data if len(data) <= MAX_FILE else None


def _pixels_digest(data: bytes) -> str:
    """Return the digest of the pixels in the PNG file `data`, "" if it is no such file."""
    try:
        width, height, raw = _unpacked(data)
    except (ValueError, IndexError, struct.error, zlib.error):
        return ""
    digest = hashlib.sha256(f"{height}x{width}x4\n".encode("ascii"))
    before = bytes(4 * width)
    for start in range(0, len(raw), 4 * width + 1):
        before = _row(raw[start], bytearray(raw[start + 1:start + 1 + 4 * width]), before)
        digest.update(before)
    return digest.hexdigest()


def _unpacked(data: bytes) -> tuple[int, int, bytes]:
    """Return width, height and the filtered rows. Raise ValueError."""
    width, height, *kind = struct.unpack_from(">IIBBBBB", data, 16)
    if (
        not data.startswith(SIGNATURE)
        or tuple(kind) != _RGBA8
        or not 0 < width <= _MAX_SIDE
        or not 0 < height <= _MAX_SIDE
    ):
        raise ValueError("another kind of picture")
    file = io.BytesIO(data)
    file.seek(len(SIGNATURE))
    packed = b"".join(file.read(length) for name, length in chunks(file) if name == b"IDAT")
    size = height * (4 * width + 1)
    raw = zlib.decompressobj().decompress(packed, size + 1)
    if len(raw) != size:
        raise ValueError("not that many rows")
    return width, height, raw


def _row(kind: int, row: bytearray, above: bytes) -> bytes:
    """Return `row` with its filter undone."""
    if kind == 0:
        return bytes(row)
    if kind == 2:
        return bytes([(value + up) & 255 for value, up in zip(row, above)])  # noqa: B905
    if kind not in (1, 3, 4):
        raise ValueError("no such filter")
    for at in range(len(row)):
        left, up, corner = (row[at - 4], above[at], above[at - 4]) if at >= 4 else (0, above[at], 0)
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            near, far, across = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = left if near <= far and near <= across else up if far <= across else corner
        row[at] = (row[at] + guess) & 255
    return bytes(row)
