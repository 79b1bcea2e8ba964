"""PNG files byte by byte, for tests of what strangers may send."""
from __future__ import annotations

import struct
import zlib


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep(width: int, height: int, samples: bytes, channels: int) -> bytes:
    """A PNG of 16 bits: grey, grey and alpha, RGB or RGBA, from its samples with the higher byte first."""
    rows = [b"\0" + samples[at:at + 2 * channels * width] for at in range(0, len(samples), 2 * channels * width)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))
    return (b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


def picture(*chunks: bytes, width: int = 1, height: int = 1) -> bytes:
    """A PNG of black pixels with `chunks` before them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(b"\0" * (1 + width) * height) if width * height < 1 << 20 else b""
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
