"""Read and write the text in our PNG files.

The engine writes them with Pillow; the standard library suffices to read them.

There are three text chunks: `parameters` (see `core.webui_text`), for other tools; `blender_sd`,
the whole request as JSON, which Recall reads; and `blender_sd_origin` (see `core.image_origin`). A fourth,
`blender_sd_role`, tells what is no picture apart (`core.roles`): a map of a material, a contact sheet. Content
credentials are in a chunk `caBX`, which only the engine can check. PNG specification: https://www.w3.org/TR/png-3/
"""
from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..core.errors import InvalidRequest
from ..core.image_origin import ORIGIN_KEY, Origin
from ..core.request import Request
from ..core.roles import KNOWN, PICTURE
from .paths import open_plain

REQUEST_KEY = "blender_sd"
PARAMETERS_KEY = "parameters"
ROLE_KEY = "blender_sd_role"
_CREDENTIALS = b"caBX"  # C2PA specification, "Embedding manifests into PNG"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 24  # bytes: the signature, and the first chunk up to width and height
_MAX_TEXT = 1 << 20  # bytes, unpacked; the file may come from anybody
_MAX_CHUNK = 16 * _MAX_TEXT  # bytes of the longest text chunk that is read at all
_MAX_ALL = 8 * _MAX_TEXT  # characters of all texts of one file together
# bytes read and unpacked for the texts of one file, kept or not, since a small file can unpack to gigabytes
_MAX_READ = 16 * _MAX_TEXT
_MAX_CHUNKS = 1 << 17  # chunks looked at in one file; Pillow writes chunks of 64 KiB


@dataclass(frozen=True)
class Head:
    """The size of a PNG file in pixels, and its text chunks that come before the pixels."""

    width: int
    height: int
    text: dict[str, str]


def role_in(text: dict[str, str]) -> str:
    """Return what a file is by its text chunks, one of `core.roles.KNOWN`: a picture where nothing else is known."""
    role = text.get(ROLE_KEY, PICTURE)
    return role if role in KNOWN else PICTURE


def read_head(path: str | os.PathLike) -> Head | None:
    """Return the head of the PNG file at `path`, or None if it is no PNG. No pixels are read. Raise OSError."""
    with open_plain(path) as file:
        start = file.read(_HEAD)
        if len(start) < _HEAD or not start.startswith(SIGNATURE) or start[12:16] != b"IHDR":
            return None
        file.seek(len(SIGNATURE))
        width, height = struct.unpack_from(">II", start, 16)
        return Head(width, height, _texts(file, before_pixels=True))


def read_text(path: str | os.PathLike) -> dict[str, str]:
    """Return all text chunks (tEXt, zTXt, iTXt) of the PNG file at `path`; {} if it is no PNG. Raise OSError."""
    with open_plain(path) as file:
        return _texts(file) if file.read(len(SIGNATURE)) == SIGNATURE else {}


def text_of(data: bytes) -> dict[str, str]:
    """Return all text chunks in the bytes of a PNG file. Broken ones are skipped, since the file may come from anybody.
    """
    return _texts(io.BytesIO(data[len(SIGNATURE) :])) if data.startswith(SIGNATURE) else {}


def _texts(file: BinaryIO, before_pixels: bool = False) -> dict[str, str]:
    """Return the text chunks from the file's position (the start of a chunk) to its end, or to its pixels."""
    texts: dict[str, str] = {}
    left, budget = _MAX_ALL, _Budget(_MAX_READ)
    for kind, length in chunks(file):
        if before_pixels and kind == b"IDAT":
            break
        if kind not in _READERS or length > _MAX_CHUNK:
            continue
        if not budget.takes(length):
            break
        body = file.read(length)
        if len(body) < length:
            break
        try:
            key, text = _READERS[kind](body, budget)
            left -= len(text)
            if left < 0:
                break
            texts[key] = text
        except (ValueError, IndexError, zlib.error):
            pass  # one broken chunk does not hide the others
    return texts


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind and length of each chunk from the file's position (the start of a chunk).

    Meanwhile the caller may read the chunk's body.
    """
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        body = file.tell()
        yield kind, length
        file.seek(body + length + 4)


def is_whole(path: str | os.PathLike) -> bool:
    """Return whether the PNG file at `path` is complete and undamaged, by the checksums of its chunks. Reads all of
    it."""
    try:
        with open_plain(path) as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                return False
            pixels = False
            while len(head := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", head)
                checksum = zlib.crc32(kind)
                while length:
                    block = file.read(min(length, _MAX_TEXT))
                    if not block:
                        return False
                    checksum, length = zlib.crc32(block, checksum), length - len(block)
                if file.read(4) != struct.pack(">I", checksum):
                    return False
                pixels = pixels or kind == b"IDAT"
                if kind == b"IEND":
                    return pixels
    except OSError:
        pass  # it went meanwhile, or is no file
    return False


def bare(data: bytes) -> bytes:
    """Return a PNG file's bytes without texts and times: equal pixels then make equal files."""
    kept, position = [data[:len(SIGNATURE)]], len(SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind[:1].isupper():  # a chunk that pictures need
            kept.append(data[position:end])
        position = end
    return b"".join(kept)


def request_in(text: dict[str, str]) -> Request:
    """Return the request in the text chunks. Raise InvalidRequest if there is none."""
    if REQUEST_KEY not in text:
        raise InvalidRequest("This image carries no settings.", "Choose one that was made with this add-on.")
    return Request.from_json(text[REQUEST_KEY])


def origin_in(text: dict[str, str]) -> Origin:
    """Return the origin in the text chunks. Raise InvalidRequest if there is none that can be read."""
    if ORIGIN_KEY not in text:
        raise InvalidRequest("This image does not say where it comes from.",
                             "Choose one that was made with this add-on.")
    return Origin.from_json(text[ORIGIN_KEY])


def has_credentials(path: str | os.PathLike) -> bool:
    """Return whether the PNG file at `path` has a chunk for content credentials, without checking them. Raise OSError.
    """
    with open_plain(path) as file:
        return file.read(len(SIGNATURE)) == SIGNATURE and any(kind == _CREDENTIALS for kind, _ in chunks(file))


def credentials_in(data: bytes) -> bool:
    """Return whether a PNG file's bytes have a chunk for content credentials."""
    return data.startswith(SIGNATURE) and any(kind == _CREDENTIALS
                                              for kind, _ in chunks(io.BytesIO(data[len(SIGNATURE) :])))


class _Budget:
    """Count how many bytes may still be read of one file."""

    def __init__(self, left: int) -> None:
        self.left = left

    def takes(self, count: int) -> bool:
        """Count `count` bytes and return whether they are still within the limit."""
        self.left -= count
        return self.left >= 0


def grey_png(width: int, height: int, values: bytes) -> bytes:
    """Return a PNG file of one grey channel.

    Args:
        width, height: Its size in pixels.
        values: A byte for each pixel, row by row from the top.
    """
    rows = b"".join(b"\0" + values[start : start + width] for start in range(0, width * height, width))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows, 1)),
             (b"IEND", b""))
    return SIGNATURE + b"".join(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
                                for kind, body in parts)


def _inflate(data: bytes, budget: _Budget) -> bytes:
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, max(1, min(_MAX_TEXT, budget.left)))  # 0 would mean without limit
    if not budget.takes(len(out)) or unpacker.unconsumed_tail:
        raise ValueError("text chunk too long")
    return out


def _text(body: bytes, _budget: _Budget) -> tuple[str, str]:
    key, text = body[: _MAX_TEXT].split(b"\0", 1)
    return key.decode("latin-1"), text.decode("latin-1")


def _compressed(body: bytes, budget: _Budget) -> tuple[str, str]:
    key, rest = body.split(b"\0", 1)
    return key.decode("latin-1"), _inflate(rest[1:], budget).decode("latin-1")


def _international(body: bytes, budget: _Budget) -> tuple[str, str]:
    key, rest = body.split(b"\0", 1)
    packed = rest[0] == 1
    _language, _translated, text = rest[2:].split(b"\0", 2)
    return key.decode("latin-1"), (_inflate(text, budget) if packed else text[:_MAX_TEXT]).decode("utf-8")


_READERS = {b"tEXt": _text, b"zTXt": _compressed, b"iTXt": _international}
