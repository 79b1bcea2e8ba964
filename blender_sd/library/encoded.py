"""Read the headers of picture files without decoding the pictures. No bpy.

PNG: https://www.w3.org/TR/png-3/ (IHDR). JPEG: ITU-T T.81, annex B (frame headers). GIF:
https://www.w3.org/Graphics/GIF/spec-gif89a.txt. WebP: RFC 9649. AVIF and HEIC: ISO/IEC 23008-12 (boxes `ftyp` and
`ispe`). GIF, AVIF, HEIC and WebP with several pictures are read only by the engine, not by Blender, which also forgets
the colours of transparent pixels in 16 bits.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER_BYTES = 1 << 18  # enough for a JPEG's EXIF block with its thumbnail and a colour profile
_WITH_ALPHA = (4, 6)  # PNG's colour types
_PNG = b"\x89PNG\r\n\x1a\n"
_HEIF = frozenset((b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"))
# What people take for pictures, by its first bytes.
_OTHERS = (
    (b"<!doctype html", "a web page"), (b"<html", "a web page"), (b"<svg", "an SVG drawing"),
           (b"<?xml", "an XML text or SVG drawing"),
    (b"8bps", "a Photoshop document"), (b"%pdf", "a PDF document"), (b"%!ps", "a PostScript document"),
           (b"gimp xcf", "a GIMP document"),
    (b"blender", "a .blend file"), (b"pk\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "a packed file"),
           (b"\x28\xb5\x2f\xfd", "a packed file"),
    (b"\x1a\x45\xdf\xa3", "a video"), (b"version https://git-lfs", "a pointer to a file that Git LFS did not fetch"))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """The size of a picture file.

    Attributes:
        width: Pixels.
        height: Pixels.
        plain: Whether every decoder reads it alike (at most 8 bits a channel, grey or RGB, with or without alpha), or
            only the engine reads it.
    """

    width: int
    height: int
    plain: bool


def read_header(data: bytes) -> Header | None:
    """Return the header in a file's first bytes; None if they are no PNG, JPEG, GIF, AVIF or HEIC, or too few."""
    try:
        if data.startswith(_PNG) and data[12:16] == b"IHDR":
            width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
            return Header(width, height, depth <= 8 or colours in _WITH_ALPHA)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            width, height = struct.unpack_from("<HH", data, 6)
            return Header(width, height, True)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF:
            return _heif(data)
    except (struct.error, IndexError):
        pass  # incomplete: the caller lets Blender try
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


def _webp(data: bytes) -> Header | None:
    kind = data[12:16]
    if kind == b"VP8X":  # with alpha, several pictures, or texts
        wide, high = (int.from_bytes(data[at:at + 3], "little") + 1 for at in (24, 27))
        return Header(wide, high, True)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, True)
    if kind == b"VP8 ":
        wide, high = struct.unpack_from("<HH", data, 26)
        return Header(wide & 0x3FFF, high & 0x3FFF, True)
    return None


def _heif(data: bytes) -> Header | None:
    """Return the header of the largest picture in an AVIF or HEIC file; its tiles and thumbnails are smaller."""
    sizes, at = [], data.find(b"ispe")
    while at >= 0:
        sizes.append(struct.unpack_from(">II", data, at + 8))  # after the box's version and flags
        at = data.find(b"ispe", at + 4)
    if not sizes:
        return None
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(width, height, True)


def no_picture(data: bytes) -> str:
    """Return what kind of file the first bytes belong to, if it is no picture, otherwise ""."""
    if not data:
        return "empty"
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if data[4:8] == b"ftyp" and data[8:12] not in _HEIF:
        return "a video"
    return next((what for sign, what in _OTHERS if start.startswith(sign)), "")
