"""Picture files as bytes: what a PNG's or JPEG's header says, without decoding. No bpy.

PNG: https://www.w3.org/TR/png-3/ (IHDR). JPEG: ITU-T T.81, annex B (frame headers).
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER_BYTES = 1 << 18  # enough for a JPEG's EXIF block with its thumbnail and a colour profile
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """`plain`: 8 bits or fewer a channel, grey or RGB with or without alpha: what every decoder reads alike."""

    width: int
    height: int
    plain: bool


def read_header(data: bytes) -> Header | None:
    """The header in a file's first bytes; None where they are no PNG or JPEG, or are cut short."""
    try:
        if data.startswith(_PNG) and data[12:16] == b"IHDR":
            width, height, depth = struct.unpack_from(">IIB", data, 16)
            return Header(width, height, depth <= 8)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
    except (struct.error, IndexError):
        pass  # cut short: the caller lets Blender try
    return None


def _jpeg(data: bytes) -> Header | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _FRAMES:
            depth, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            return Header(width, height, depth == 8 and channels in (1, 3))
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None
