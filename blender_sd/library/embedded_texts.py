"""The texts that picture files carry about themselves: chunks of PNG, EXIF and comments of JPEG and WebP. Standard
library only.

EXIF: CIPA DC-008 (UserComment, ImageDescription, Make, Model); JPEG: ITU-T T.81 (APP1, COM); WebP: RFC 9649 (chunk
EXIF).
"""
from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator

from . import png

_MOST = 1 << 23  # bytes of texts; the file may be a stranger's
_MAX_ENTRIES = 512  # of one EXIF directory
_EXIF, _COMMENT = 0x8769, 0x9286
_NAMES = {0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", _COMMENT: "UserComment"}
_HIDDEN = (b"stealth_pnginfo", b"stealth_pngcomp")  # the marks of texts in the alpha channel: plain, and packed by gzip


def texts_of(data: bytes) -> dict[str, str]:
    """Return the texts in a picture file's bytes by their keys: of PNG the chunks' own, else EXIF's names and
    "Comment". Empty where there are none; broken ones are left out."""
    if data.startswith(png.SIGNATURE):
        found = png.text_of(data)
        at = data.find(b"eXIf")
        return {**_exif(data[at + 4:at + 4 + _MOST]), **found} if at > 0 else found
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return {}


def hidden_text(alpha: bytes) -> str:
    """Return the text in the lowest bits of a picture's alpha channel, as some programs hide it; "" for none. `alpha`:
    a byte for each pixel, column by column from the left, each from the top."""
    sign = _bits(alpha, 0, len(_HIDDEN[0]))
    if sign not in _HIDDEN:
        return ""
    at = 8 * len(sign)
    length = int.from_bytes(_bits(alpha, at, 4), "big") // 8
    if not 0 < length <= min(_MOST, len(alpha) // 8):
        return ""
    body = _bits(alpha, at + 32, length)
    try:
        if sign == _HIDDEN[1]:
            unpacker = zlib.decompressobj(wbits=31)
            body = unpacker.decompress(body, _MOST)
        return body.decode("utf-8")
    except (ValueError, zlib.error, gzip.BadGzipFile):
        return ""


def _bits(alpha: bytes, start: int, count: int) -> bytes:
    """Return `count` bytes from the lowest bits of `alpha` at `start`."""
    bits = alpha[start:start + 8 * count]
    digits = bits.translate(_LOWEST)
    return int(digits, 2).to_bytes(len(digits) // 8, "big") if len(digits) == 8 * count and count else b""


_LOWEST = bytes(b"01"[value & 1] for value in range(256))


def _jpeg(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:  # the pixels
            break
        length = struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4:at + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            found |= _exif(body[6:])
        elif marker == 0xFE:
            found["Comment"] = body.decode("utf-8", "replace").strip("\0")
        at += 2 + length
    return found


def _webp(data: bytes) -> dict[str, str]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            body = data[at + 8:at + 8 + min(length, _MOST)]
            return _exif(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return {}


def _exif(data: bytes) -> dict[str, str]:
    """Return the texts in an EXIF block, a small TIFF file."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return {}
    found: dict[str, str] = {}
    try:
        waiting = [struct.unpack_from(order + "I", data, 4)[0]]
        for place in waiting:
            for tag, value in _entries(data, order, place):
                if tag == _EXIF and len(waiting) < 4:
                    waiting.append(struct.unpack(order + "I", value[:4])[0])
                elif tag in _NAMES:
                    found[_NAMES[tag]] = _comment(value, order) if tag == _COMMENT else value.decode(
                        "utf-8", "replace").strip("\0")
    except struct.error:
        pass  # cut short: what was found so far
    return found


def _entries(data: bytes, order: str, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield each entry's tag and bytes of the directory at `place`."""
    count = struct.unpack_from(order + "H", data, place)[0]
    for number in range(min(count, _MAX_ENTRIES)):
        tag, kind, length = struct.unpack_from(order + "HHI", data, place + 2 + 12 * number)
        size = length * {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}.get(kind, 0)
        at = place + 2 + 12 * number + 8
        if size > 4:
            at = struct.unpack_from(order + "I", data, at)[0]
        yield tag, data[at:at + min(max(size, 4), _MOST)]


def _comment(value: bytes, order: str) -> str:
    """Return the text of EXIF's UserComment. "UNICODE" is UTF-16 of either order, whatever the block's own is."""
    kind, body = value[:8], value[8:]
    if kind.startswith(b"UNICODE"):
        zeros = [body[start:200:2].count(0) for start in (0, 1)]
        little = zeros[1] > zeros[0] if zeros[0] != zeros[1] else order == "<"
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0\ufeff")
    return (body if kind.rstrip(b"\0 ") in (b"", b"ASCII", b"JIS") else value).decode("utf-8", "replace").strip("\0")
