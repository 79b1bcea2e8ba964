"""Read OpenEXR files as Blender writes them, uncompressed or by ZIP, in plain numpy. No bpy.

Blender gives scripts only a render's combined picture. Format: https://openexr.com/en/latest/OpenEXRFileLayout.html
(single part, scan lines).
"""
from __future__ import annotations

import json
import zlib
from typing import NamedTuple

import numpy as np

_MAGIC = b"v/1\x01"
_TYPES = ("<u4", "<f2", "<f4")  # by a channel's number for its type
_NONE, _ZIPS, _ZIP = 0, 2, 3  # compressions: of a row each, of 16 rows
_ROWS = {_NONE: 1, _ZIPS: 1, _ZIP: 16}
_MANIFEST = "/manifest"  # the end of a Cryptomatte attribute's name


class Passes(NamedTuple):
    """The passes of a render.

    Attributes:
        channels: H×W arrays, row 0 on top, by name ("Depth.Z") without the view layer's.
        names: The object or material of each Cryptomatte number (the bits of the float).
        layers: The names of the view layers.
    """

    channels: dict[str, np.ndarray]
    names: dict[int, str]
    layers: tuple[str, ...] = ()


def read_passes(data: bytes) -> Passes:
    """Return the passes in a file's bytes. Raises ValueError for a file of another kind, or a damaged one."""
    try:
        return _read(data)
    except (LookupError, TypeError, AttributeError, OverflowError, zlib.error) as error:
        raise ValueError("a damaged OpenEXR file") from error


def _read(data: bytes) -> Passes:
    if data[:4] != _MAGIC or data[5] & 0x12:
        raise ValueError("not an OpenEXR file of one part")
    attributes, position = _attributes(data, 8)
    compression = attributes["compression"][0]
    if compression not in _ROWS:
        raise ValueError("an OpenEXR file of another compression than ZIP")
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4")
    width, height = int(right - left) + 1, int(bottom - top) + 1
    kinds = _channels(attributes["channels"])
    row = np.dtype([(name, kind, width) for name, kind in kinds])
    blocks = -(-height // _ROWS[compression])
    places = np.frombuffer(data, "<u8", blocks, position)
    rows = np.concatenate([_block(data, int(place), compression, row, min(
        _ROWS[compression], height - number * _ROWS[compression])) for number, place in enumerate(places)])
    names: dict[int, str] = {}
    for key, value in attributes.items():
        if key.endswith(_MANIFEST):
            # of an empty scene, Blender writes "}" alone
            names |= {int(number, 16): name for name, number in json.loads(value if value != b"}" else b"{}").items()}
    layers = dict.fromkeys(name.split(".", 1)[0] for name, _ in kinds if "." in name)
    return Passes({name.split(".", 1)[-1]: rows[name] for name, _ in kinds}, names, tuple(layers))


def _block(data: bytes, place: int, compression: int, row: np.dtype, count: int) -> np.ndarray:
    """Return the `count` rows that begin at `place`, with their number and their length."""
    length, wanted = int.from_bytes(data[place + 4 : place + 8], "little"), count * row.itemsize
    packed = data[place + 8 : place + 8 + length]
    if compression == _NONE or length == wanted:  # what would not become smaller is not packed
        return np.frombuffer(packed, row, count)
    unpacker = zlib.decompressobj()
    values = np.frombuffer(unpacker.decompress(packed, wanted), np.uint8)
    if len(values) != wanted:
        raise ValueError("a damaged OpenEXR file")
    # Each byte holds the difference to the one before, and the even bytes stand before the odd ones
    steps = values.astype(np.int64)
    steps[1:] -= 128
    whole = np.cumsum(steps).astype(np.uint8)
    half = -(-wanted // 2)
    mixed = np.empty(wanted, np.uint8)
    mixed[0::2], mixed[1::2] = whole[:half], whole[half:]
    return mixed.view(row)


def _attributes(data: bytes, position: int) -> tuple[dict[str, bytes], int]:
    """Return the header that starts at `position`, and where it ends."""
    attributes = {}
    while data[position]:
        name, position = _word(data, position)
        _, position = _word(data, position)
        length = int.from_bytes(data[position : position + 4], "little")
        attributes[name] = data[position + 4 : position + 4 + length]
        position += 4 + length
    return attributes, position + 1


def _channels(value: bytes) -> list[tuple[str, str]]:
    """Return (name, type) of each channel, in the order in which a row holds them."""
    kinds, position = [], 0
    while value[position]:
        name, position = _word(value, position)
        kinds.append((name, _TYPES[int.from_bytes(value[position : position + 4], "little")]))
        position += 16
    return kinds


def _word(data: bytes, position: int) -> tuple[str, int]:
    end = data.index(b"\0", position)
    return data[position:end].decode(), end + 1
