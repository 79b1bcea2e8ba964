"""Read OpenEXR files as Blender writes them, uncompressed or by ZIP, and write pictures in scene-linear light, in plain
numpy.

Blender gives scripts only a render's combined picture. Format: https://openexr.com/en/latest/OpenEXRFileLayout.html
(single part, scan lines).
"""
from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

import numpy as np

MAGIC = b"v/1\x01"
OWN_KIND = "blender_sd"  # the type of attributes that only we read
_TYPES = ("<u4", "<f2", "<f4")  # by a channel's number for its type
_NONE, _ZIPS, _ZIP = 0, 2, 3  # compressions: of a row each, of 16 rows
_ROWS = {_NONE: 1, _ZIPS: 1, _ZIP: 16}
_FLOAT = 2  # a channel's number for float32
_LEVEL = 4  # of zlib
_REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)  # x and y of red, green, blue and white
_MANIFEST = "/manifest"  # the end of a Cryptomatte attribute's name


class Header(NamedTuple):
    """What is in a file, without its pixels.

    Attributes:
        channels: Their names, as in `Passes`.
        names: The object or material of each Cryptomatte number.
        layers: The names of the view layers.
        size: (width, height) in pixels.
    """

    channels: tuple[str, ...]
    names: dict[int, str]
    layers: tuple[str, ...]
    size: tuple[int, int]


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


def read_header(data: bytes) -> Header:
    """Return what is in a file, from its bytes or as many of the first as hold its header.

    Raises:
        ValueError: It is a file of another kind, a damaged one, or longer than these bytes show.
    """
    try:
        return _header(data)[0]
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("a damaged OpenEXR file") from error


def read_passes(data: bytes) -> Passes:
    """Return the passes in a file's bytes. Raises ValueError for a file of another kind, or a damaged one."""
    try:
        return _read(data)
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise ValueError("a damaged OpenEXR file") from error


def read_attributes(data: bytes) -> dict[str, bytes]:
    """Return the header's attributes. Raises ValueError for a file of another kind, or a damaged one."""
    if data[:4] != MAGIC:
        raise ValueError("not an OpenEXR file")
    try:
        return _attributes(data, 8)[0]
    except (LookupError, ValueError) as error:
        raise ValueError("a damaged OpenEXR file") from error


def write(values: np.ndarray, file: BinaryIO, attributes: Mapping[str, bytes | str] | None = None) -> None:
    """Write a picture as an OpenEXR file with 32 bits a value, packed by ZIP.

    Args:
        values: H×W×3 or H×W×4, row 0 on top, scene-linear Rec. 709, alpha associated.
        file: Where it goes.
        attributes: More attributes of the header: texts, or bytes of a kind of our own.

    Raises:
        ValueError: The array has another shape.
    """
    if values.ndim != 3 or values.shape[2] not in (3, 4) or 0 in values.shape:
        raise ValueError(f"an array {values.shape} is no picture")
    height, width, count = values.shape
    order = sorted(zip("RGBA", range(count)))  # a row holds its channels one after the other, by name
    kinds = b"".join(name.encode() + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) for name, _ in order) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = [MAGIC + struct.pack("<i", 2)]
    for name, value in (attributes or {}).items():
        header.append(_attribute(name, "string", value.encode()) if isinstance(value, str) else
                      _attribute(name, OWN_KIND, value))
    for name, kind, value in (
            ("channels", "chlist", kinds), ("chromaticities", "chromaticities", struct.pack("<8f", *_REC709)),
            ("compression", "compression", bytes([_ZIP])), ("dataWindow", "box2i", window),
            ("displayWindow", "box2i", window), ("lineOrder", "lineOrder", b"\0"),
            ("pixelAspectRatio", "float", struct.pack("<f", 1)),
            ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            ("screenWindowWidth", "float", struct.pack("<f", 1))):
        header.append(_attribute(name, kind, value))
    start = b"".join(header) + b"\0"
    rows = np.ascontiguousarray(values[..., [place for _, place in order]].transpose(0, 2, 1), "<f4")
    step = _ROWS[_ZIP]
    blocks = [_packed(rows[top : top + step].tobytes()) for top in range(0, height, step)]
    places = len(start) + 8 * len(blocks) + np.concatenate(([0], np.cumsum([len(block) + 8 for block in blocks])[:-1]))
    file.write(start + places.astype("<u8").tobytes())
    for number, block in enumerate(blocks):
        file.write(struct.pack("<ii", number * step, len(block)) + block)


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def _packed(raw: bytes) -> bytes:
    """Return the bytes of a block as the format packs them: even ones before odd ones, then differences."""
    values = np.frombuffer(raw, np.uint8)
    mixed = np.concatenate((values[0::2], values[1::2])).astype(np.int16)
    mixed[1:] = np.diff(mixed) + 128
    packed = zlib.compress(mixed.astype(np.uint8).tobytes(), _LEVEL)
    return packed if len(packed) < len(raw) else raw


def _header(data: bytes) -> tuple[Header, list[tuple[str, str]], int, int]:
    """Return the header, each channel's whole name and type, the compression, and where the header ends."""
    if data[:4] != MAGIC or data[5] & 0x12:
        raise ValueError("not an OpenEXR file of one part")
    attributes, position = _attributes(data, 8)
    compression = attributes["compression"][0]
    if compression not in _ROWS:
        raise ValueError("an OpenEXR file of another compression than ZIP")
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4")
    kinds = _channels(attributes["channels"])
    names: dict[int, str] = {}
    for key, value in attributes.items():
        if key.endswith(_MANIFEST):
            # of an empty scene, Blender writes "}" alone
            names |= {int(number, 16): name for name, number in json.loads(value if value != b"}" else b"{}").items()}
    layers = dict.fromkeys(name.split(".", 1)[0] for name, _ in kinds if "." in name)
    header = Header(tuple(name.split(".", 1)[-1] for name, _ in kinds), names, tuple(layers),
                    (int(right - left) + 1, int(bottom - top) + 1))
    return header, kinds, compression, position


def _read(data: bytes) -> Passes:
    header, kinds, compression, position = _header(data)
    width, height = header.size
    row = np.dtype([(name, kind, width) for name, kind in kinds])
    blocks = -(-height // _ROWS[compression])
    places = np.frombuffer(data, "<u8", blocks, position)
    rows = np.concatenate([_block(data, int(place), compression, row, min(
        _ROWS[compression], height - number * _ROWS[compression])) for number, place in enumerate(places)])
    return Passes({name.split(".", 1)[-1]: rows[name] for name, _ in kinds}, header.names, header.layers)


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
