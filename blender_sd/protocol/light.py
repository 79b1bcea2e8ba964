"""Sources that hold more than a displayed picture: scene-linear light, or 16 bits a value.

Such a source travels, and is kept, as an OpenEXR file that any program can open. Attributes in its header hold the
picture as displayed, which is what the model paints over, and what is needed to find the way back from there.
"""
from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np

from . import exr_files

_SHOWN, _VIEW, _BITS = "blender_sdDisplayed", "blender_sdView", "blender_sdBits"
# The first attribute's value begins after the file's 8 bytes, its name and kind, each with a 0, and its length
_START = 8 + len(_SHOWN) + 1 + len(exr_files.OWN_KIND) + 1 + 4
_SIZE = (_START, _START + 4)  # its width and height, before the packed pixels
DEEP_KEY = "blender_sd deep"  # of a PIL image's `info`: the same picture in the depth of its source
SPACE = "colorSpace"  # the attribute that names a file's colour space
SIXTEEN, FLOAT = 16, 32
# A view transform is sampled where each channel has one of these values: finer in the dark, as eyes are
_SIDE, _DARK, _STOPS = 32, 2.0 ** -10, 17.0


class Light(NamedTuple):
    """A source of high depth.

    Attributes:
        values: H×W×4 float32, row 0 on top: scene-linear Rec. 709 with associated alpha, or for `bits` 16 sRGB as
            displayed, 0 to 1, with straight alpha.
        shown: The picture as displayed, H×W×4 uint8, straight alpha.
        view: How the scene's view transform displays `samples()`: side×side×side×3 uint8, by red, green and blue; None
            for sRGB's curve alone.
        bits: FLOAT, or SIXTEEN.
    """

    values: np.ndarray
    shown: np.ndarray
    view: np.ndarray | None = None
    bits: int = FLOAT


def encoded(light: Light) -> bytes:
    """Return a source of high depth as the bytes of an OpenEXR file."""
    attributes: dict[str, bytes | str] = {
        _SHOWN: struct.pack("<II", *light.shown.shape[1::-1]) + zlib.compress(
            np.ascontiguousarray(light.shown).tobytes(), 1),
        _BITS: str(light.bits)}
    if light.bits == FLOAT:
        attributes[SPACE] = "Linear Rec.709"
    if light.view is not None:
        attributes[_VIEW] = zlib.compress(np.ascontiguousarray(light.view).tobytes())
    file = io.BytesIO()
    exr_files.write(light.values, file, attributes)
    return file.getvalue()


def is_light(beginning: bytes) -> bool:
    """Return whether a file that begins like this is one of `encoded`; 64 bytes are enough."""
    return beginning.startswith(exr_files.MAGIC) and beginning[8:].startswith(_SHOWN.encode() + b"\0")


def size_of(beginning: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a file of `encoded` from its first 64 bytes; None for any other file."""
    if not is_light(beginning):
        return None
    width, height = (int.from_bytes(beginning[start : start + 4], "little") for start in _SIZE)
    return (width, height) if width and height else None


def read(data: bytes) -> Light:
    """Return what `encoded` has written. Raises ValueError if it is damaged."""
    attributes = exr_files.read_attributes(data)
    if not is_light(data) or not {_SHOWN, _BITS} <= attributes.keys():
        raise ValueError("no source of ours")
    header = exr_files.read_header(data)
    if header.size != size_of(data[:64]) or sorted(header.channels) != sorted("RGBA"):  # before much is unpacked
        raise ValueError("a damaged source")
    channels = exr_files.read_passes(data).channels
    values = np.stack([channels[name] for name in "RGBA"], -1).astype(np.float32)
    shown = _unpacked(attributes[_SHOWN][8:], (*values.shape[:2], 4))
    view = _unpacked(attributes[_VIEW], (_SIDE, _SIDE, _SIDE, 3)) if _VIEW in attributes else None
    return Light(values, shown, view, SIXTEEN if attributes[_BITS] == str(SIXTEEN).encode() else FLOAT)


def samples() -> np.ndarray:
    """Return the scene-linear values at which a view transform is sampled on each axis, ascending from 0: float32."""
    return value_at(np.arange(_SIDE, dtype=np.float32))


def value_at(place: np.ndarray) -> np.ndarray:
    """Return the scene-linear value at a place between the samples, 0 to their number less 1."""
    return (np.exp2(place * (_STOPS / (_SIDE - 1))) - 1) * _DARK


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    wanted = int(np.prod(shape))
    try:
        raw = zlib.decompressobj().decompress(packed, wanted)
    except zlib.error as error:
        raise ValueError("a damaged source") from error
    if len(raw) != wanted:
        raise ValueError("a damaged source")
    return np.frombuffer(raw, np.uint8).reshape(shape)
