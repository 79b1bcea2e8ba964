"""Read multilayer OpenEXR files as Blender writes them, uncompressed and interleaved, in plain numpy. No bpy.

Blender gives scripts only a render's combined picture. Format: https://openexr.com/en/latest/OpenEXRFileLayout.html
(single part, scan lines).
"""
from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

_MAGIC = b"v/1\x01"
_TYPES = ("<u4", "<f2", "<f4")  # by a channel's number for its type
_MANIFEST = "/manifest"  # the end of a Cryptomatte attribute's name


class Passes(NamedTuple):
    """The passes of a render.

    Attributes:
        channels: H×W arrays, row 0 on top, by name ("Depth.Z") without the view layer's.
        names: The object of each Cryptomatte number (the bits of the float).
    """

    channels: dict[str, np.ndarray]
    names: dict[int, str]


def read_passes(data: bytes) -> Passes:
    """Return the passes in a file's bytes. Raises ValueError for a file of another kind."""
    if data[:4] != _MAGIC or data[5] & 0x12:
        raise ValueError("not an OpenEXR file of one part")
    attributes, position = _attributes(data, 8)
    if attributes["compression"] != b"\0":
        raise ValueError("a compressed OpenEXR file")
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4")
    width, height = int(right - left) + 1, int(bottom - top) + 1
    kinds = _channels(attributes["channels"])
    row = np.dtype([(name, kind, width) for name, kind in kinds])
    places = np.frombuffer(data, "<u8", height, position)
    # Each starts with its number and its length
    rows = np.stack([np.frombuffer(data, row, 1, int(place) + 8)[0] for place in places])
    names: dict[int, str] = {}
    for key, value in attributes.items():
        if key.endswith(_MANIFEST):
            names |= {int(number, 16): name for name, number in json.loads(value).items()}
    return Passes({name.split(".", 1)[-1]: rows[name] for name, _ in kinds}, names)


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
