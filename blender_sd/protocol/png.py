"""What our PNG files say of themselves: written by the engine (Pillow), read anywhere with the standard library.

Three text chunks: `parameters` in the form that A1111's web UI made common (other tools read it); `blender_sd`, the whole request as
JSON (what Recall reads); and `blender_sd_origin` (`protocol.origin`). Content credentials lie in a chunk `caBX`, which only the engine
can check. PNG specification: https://www.w3.org/TR/png-3/
"""
from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from . import wording
from .errors import InvalidRequest
from .origin import ORIGIN_KEY, Origin
from .request import IMAGE_TO_IMAGE, Request
from .samplers import SAMPLERS

REQUEST_KEY = "blender_sd"
PARAMETERS_KEY = "parameters"
_CREDENTIALS = b"caBX"  # C2PA specification, "Embedding manifests into PNG"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 24  # bytes: the signature, and the first chunk as far as width and height
_MAX_TEXT = 1 << 20  # bytes, unpacked; a stranger's file may claim anything
_MAX_CHUNK = 16 * _MAX_TEXT  # bytes of one text chunk that are read at all
_MAX_CHUNKS = 1 << 17  # looked at in one file; Pillow makes one of 64 KiB pixels


def parameters_text(request: Request, model_name: str) -> str:
    """The `parameters` text of one picture: prompt, negative prompt, then `Steps: …, Sampler: …, …`."""
    settings = {
        "Steps": request.steps,
        "Sampler": SAMPLERS[request.sampler].a1111,
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": model_name.replace(",", " "),
    }
    if request.task == IMAGE_TO_IMAGE:
        settings["Denoising strength"] = f"{request.strength:g}"
    if request.variation_strength > 0:
        settings |= {"Variation seed": request.variation_seed, "Variation seed strength": f"{request.variation_strength:g}"}
    if request.tiling != "none":
        settings["Tiling"] = "True"
    tags = (wording.lora_tag(os.path.splitext(os.path.basename(lora.file))[0], lora.weight) for lora in request.loras)
    lines = [" ".join([request.prompt, *tags])]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    lines.append(", ".join(f"{key}: {value}" for key, value in settings.items()))
    return "\n".join(lines)


@dataclass(frozen=True)
class Head:
    """What a PNG file says before its pixels: its size, and its text chunks as far as they stand there."""

    width: int
    height: int
    text: dict[str, str]


def read_head(path: str | os.PathLike) -> Head | None:
    """The head of the PNG file at `path`; None where it is no PNG. Reads no pixels. Raises OSError."""
    with open(path, "rb") as file:
        start = file.read(_HEAD)
        if len(start) < _HEAD or not start.startswith(_SIGNATURE) or start[12:16] != b"IHDR":
            return None
        file.seek(len(_SIGNATURE))
        return Head(*struct.unpack_from(">II", start, 16), _texts(file, before_pixels=True))


def read_text(path: str | os.PathLike) -> dict[str, str]:
    """All text chunks (tEXt, zTXt, iTXt) of the PNG file at `path`; empty where it is no PNG. Raises OSError."""
    with open(path, "rb") as file:
        return _texts(file) if file.read(len(_SIGNATURE)) == _SIGNATURE else {}


def text_of(data: bytes) -> dict[str, str]:
    """All text chunks in a PNG file's bytes; broken ones are skipped, since the file may be a stranger's."""
    return _texts(io.BytesIO(data[len(_SIGNATURE) :])) if data.startswith(_SIGNATURE) else {}


def _texts(file: BinaryIO, before_pixels: bool = False) -> dict[str, str]:
    """The text chunks from where `file` stands (a chunk's start) to its end, or to its pixels. Everything else is passed over."""
    found: dict[str, str] = {}
    for kind, length in _chunks(file):
        if before_pixels and kind == b"IDAT":
            break
        if kind not in _READERS or length > _MAX_CHUNK:
            continue
        body = file.read(length)
        if len(body) < length:
            break
        try:
            key, text = _READERS[kind](body)
            found[key] = text
        except (ValueError, IndexError, zlib.error):
            pass  # one broken chunk does not hide the others
    return found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind and length of each chunk from where `file` stands (a chunk's start); meanwhile the chunk's body can be read."""
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        body = file.tell()
        yield kind, length
        file.seek(body + length + 4)


def request_in(text: dict[str, str]) -> Request:
    """The request that the text chunks hold. Raises InvalidRequest where they hold none."""
    if REQUEST_KEY not in text:
        raise InvalidRequest("This image carries no settings.", "Choose one that was made with this add-on.")
    return Request.from_json(text[REQUEST_KEY])


def origin_in(text: dict[str, str]) -> Origin:
    """The origin that the text chunks hold. Raises InvalidRequest where they hold none that can be read."""
    if ORIGIN_KEY not in text:
        raise InvalidRequest("This image does not say where it comes from.", "Choose one that was made with this add-on.")
    return Origin.from_json(text[ORIGIN_KEY])


def has_credentials(path: str | os.PathLike) -> bool:
    """Whether the PNG file at `path` has a chunk for content credentials; what they are worth is not looked at. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE and any(kind == _CREDENTIALS for kind, _ in _chunks(file))


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, _MAX_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("text chunk too long")
    return out


def _text(body: bytes) -> tuple[str, str]:
    key, text = body[: _MAX_TEXT].split(b"\0", 1)
    return key.decode("latin-1"), text.decode("latin-1")


def _compressed(body: bytes) -> tuple[str, str]:
    key, rest = body.split(b"\0", 1)
    return key.decode("latin-1"), _inflate(rest[1:]).decode("latin-1")


def _international(body: bytes) -> tuple[str, str]:
    key, rest = body.split(b"\0", 1)
    packed = rest[0] == 1
    _language, _translated, text = rest[2:].split(b"\0", 2)
    return key.decode("latin-1"), (_inflate(text) if packed else text[:_MAX_TEXT]).decode("utf-8")


_READERS = {b"tEXt": _text, b"zTXt": _compressed, b"iTXt": _international}
