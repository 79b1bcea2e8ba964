"""Pictures for the tests: written with the standard library, so that nothing under test makes its own evidence."""
from __future__ import annotations

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

from blender_sd.protocol.messages import Result, Source
from blender_sd.core.request import Request


def png_bytes(pixels: np.ndarray, text: dict[str, str] | None = None) -> bytes:
    """An 8- or 16-bit RGB or RGBA PNG file; `pixels`: H×W×3|4 uint8 or uint16, row 0 on top."""
    height, width, channels = pixels.shape
    depth = 16 if pixels.dtype == np.uint16 else 8
    rows = pixels.astype(">u2" if depth == 16 else np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2 if channels == 3 else 6, 0, 0, 0))
            + b"".join(chunk(b"tEXt", f"{key}\0{value}".encode("latin-1")) for key, value in (text or {}).items())
            + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def write_png(path: Path, pixels: np.ndarray, text: dict[str, str] | None = None) -> Path:
    path.write_bytes(png_bytes(pixels, text))
    return path


def colours(height: int, width: int, channels: int = 4, seed: int = 1) -> np.ndarray:
    """Random pixels; nothing in them is symmetric, so that a flip or a swapped channel shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def result(path: Path, pixels: np.ndarray, **settings: object) -> Result:
    """A finished picture on disk, as an engine reports it."""
    write_png(path, pixels)
    return Result(str(path), Request(**settings), pixels.shape[1], pixels.shape[0])


def pixels_of(source: Source | object) -> np.ndarray:
    """H×W×4 uint8 of a source in any of its forms."""
    source = source() if callable(source) else source
    if source.pixels is not None:
        assert source.pixels.dtype == np.uint8 and source.encoded is None
        return source.pixels
    return decoded(source.encoded)


def decoded(data: bytes) -> np.ndarray:
    """A PNG or JPEG as Blender decodes it, raw, row 0 on top."""
    image = bpy.data.images.new("decoding", 1, 1)
    image.pack(data=data, data_len=len(data))
    image.source = "FILE"
    try:
        return raw_pixels(image)
    finally:
        bpy.data.images.remove(image)


def raw_pixels(image: bpy.types.Image) -> np.ndarray:
    """An 8-bit image's own values."""
    width, height = image.size
    buffer = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(buffer)
    return np.rint(buffer.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


def generated(pixels: np.ndarray, name: str = "painted", is_float: bool = False, space: str = "") -> bpy.types.Image:
    """A generated image holding `pixels` (uint8, or float32 as they stand), row 0 on top."""
    image = bpy.data.images.new(name, pixels.shape[1], pixels.shape[0], alpha=True, float_buffer=is_float)
    if space:
        image.colorspace_settings.name = space  # first: it empties a generated image
    values = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    image.pixels.foreach_set(np.ascontiguousarray(values[::-1]).ravel())
    return image


def difference(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pictures in steps of 1/255, colours only where something is visible."""
    assert one.shape == other.shape
    alpha = np.abs(one[..., 3].astype(int) - other[..., 3]).max()
    seen = (one[..., 3] > 0) & (other[..., 3] > 0)
    colour = np.abs(one[..., :3].astype(int) - other[..., :3])[seen]
    return int(max(alpha, colour.max() if colour.size else 0))
