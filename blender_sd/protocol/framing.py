"""Encode messages: a frame is `SDB1`, the length of a JSON header, the header, then the raw blobs that it announces.

Pickle is never used: anything but a well-formed message of the closed set raises `WireError`.
"""
from __future__ import annotations

import dataclasses
import functools
import json
import struct
import typing
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from ..core.errors import InvalidRequest
from ..core.request import Request
from ..core.settings import from_dict
from ..core.tasks import PbrMaps
from .messages import MESSAGES, PROSE, EngineConfig, Finished, Result, Source, Unwrapped
from .shots import ShotOrder
from .surfaces import Bare, Lens, Onto, Scenery, Triangles

MAGIC = b"SDB1"
MAX_HEADER = 8 << 20  # bytes; requests have a few hundred, and of many pictures only the differences are sent
MAX_MESSAGE = 1 << 20  # bytes of all messages except Finished
MAX_TEXT = 1 << 16  # characters of a text for people or the log; the middle of longer ones is left out
MAX_BLOBS = 2048  # a mask for each region, three arrays for each mesh without UVs
MAX_BLOB = 1 << 30  # bytes; an 8192² RGBA source has a quarter of it
MAX_BLOBS_BYTES = 4 << 30  # of one message
_BLOCK = 32 << 20  # bytes requested from the stream at a time: a lying header costs no more memory than that
_PREFIX = struct.Struct("<4sI")

_NUMBERS = ("float32", "int32")  # kinds of arrays that are no pixels
_PER_RESULT, _WIDEST = 400, 4  # bytes: a result's name and numbers; the longest encoding of a character
_BY_NAME = {cls.__name__: cls for cls in MESSAGES}


class WireError(Exception):
    """The stream does not hold a message: the other side is not ours, or broke off."""


def write_message(stream: IO[bytes], message: Any) -> None:
    """Write one message and flush.

    Raises:
        InvalidRequest: The message is too large.
        OSError: The other side is gone.
    """
    blobs: list[memoryview] = []
    message = _cut(message)
    header = {"type": type(message).__name__, "body": _pack(message, blobs), "blobs": [blob.nbytes for blob in blobs]}
    if not _bounded(header["blobs"]):
        raise InvalidRequest("There are too many or too large input pictures to send.",
                             f"Take some out: {MAX_BLOBS} and {MAX_BLOBS_BYTES >> 30} GB are the most.")
    # POSIX paths may contain lone surrogates
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(text) > (MAX_HEADER if isinstance(message, Finished) else MAX_MESSAGE):
        raise InvalidRequest("The prompt is too long to send.", "Shorten it to a few thousand words.")
    stream.write(_PREFIX.pack(MAGIC, len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Return the next message, or None at the end of the stream. Raise WireError for anything else."""
    prefix = _read(stream, _PREFIX.size, may_end=True)
    if not prefix:
        return None
    magic, length = _PREFIX.unpack(prefix)
    if magic != MAGIC or length > MAX_HEADER:
        raise WireError("not a message")
    try:
        header = json.loads(_read(stream, length).decode("utf-8", "surrogatepass"))
        sizes = header["blobs"]
        if not _bounded(sizes):
            raise WireError("blob sizes out of bounds")
        blobs = [_read(stream, size) for size in sizes]
        return _unpack(_BY_NAME[header["type"]], header["body"], blobs)
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, InvalidRequest) as error:
        raise WireError(f"malformed message: {error!r}") from error


def check_answer(request: Request, output: str) -> None:
    """Raise InvalidRequest if the answer to a request would be too large to send, before anything is painted.

    Args:
        request: The request.
        output: The folder for its pictures.
    """
    base, length = json.loads(request.to_json()), 0
    for index in range(request.pictures):
        own = _changes(base, json.loads(request.single(index).to_json()))
        length += _PER_RESULT + len(output.encode("utf-8", "surrogatepass")) + len(json.dumps(own))
        if length > MAX_HEADER - len(request.to_json()) * _WIDEST:
            raise InvalidRequest("The pictures' settings are too long to be sent back together.",
                                 "Shorten the prompt, or ask for fewer pictures at once.")


def _cut(message: Any) -> Any:
    """Return `message` with long texts for people shortened, since messages of libraries have no limits."""
    names = [spec.name for spec in dataclasses.fields(message) if PROSE in spec.metadata]
    half = MAX_TEXT // 2 - 4
    cut = {name: f"{text[:half]}\n…\n{text[-half:]}"
           for name in names if len(text := getattr(message, name)) > MAX_TEXT}
    return dataclasses.replace(message, **cut) if cut else message


def _changes(base: dict, other: dict) -> dict:
    """Return what `other` has that `base` does not."""
    return {name: value for name, value in other.items() if name not in base or base[name] != value}


def _bounded(sizes: list) -> bool:
    """Return whether blobs of these sizes may be sent in one message."""
    return (len(sizes) <= MAX_BLOBS and all(type(size) is int and 0 <= size <= MAX_BLOB for size in sizes)
            and sum(sizes) <= MAX_BLOBS_BYTES)


def _read(stream: IO[bytes], size: int, may_end: bool = False) -> bytes:
    """Return the next `size` bytes, or b"" if the stream ended before them and `may_end` allows that. Raise WireError.
    """
    parts, missing = [], size
    while missing:
        part = stream.read(min(missing, _BLOCK))
        if not part:
            if may_end and missing == size:
                return b""
            raise WireError("the stream ended inside a message")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


# ---- values <-> JSON + blobs ---------------------------------------------------------------------------


def _pack(value: Any, blobs: list[memoryview]) -> Any:
    if isinstance(value, Request):
        return value.to_json()
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.ndim != 3:
            raise TypeError(f"only H×W×C uint8 arrays can be sent, not {value.dtype} {value.shape}")
        blobs.append(np.ascontiguousarray(value).data.cast("B"))
        return {"blob": len(blobs) - 1, "shape": list(value.shape)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        blobs.append(memoryview(value))
        return {"blob": len(blobs) - 1}
    if isinstance(value, (Triangles, Bare)):
        return {spec.name: _pack_numbers(getattr(value, spec.name), blobs) for spec in dataclasses.fields(value)}
    if isinstance(value, Unwrapped):
        return {"job": value.job, "maps": [_pack_numbers(item, blobs) for item in value.maps]}
    if isinstance(value, Finished):
        return {"job": value.job, "results": _pack_results(value.results, blobs)}
    if dataclasses.is_dataclass(value):
        return {spec.name: _pack(getattr(value, spec.name), blobs) for spec in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _pack(item, blobs) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_pack(item, blobs) for item in value]
    return value


def _pack_numbers(value: np.ndarray, blobs: list[memoryview]) -> dict:
    if value.dtype.name not in _NUMBERS:
        raise TypeError(f"{value.dtype} numbers cannot be sent")
    blobs.append(np.ascontiguousarray(value).data.cast("B") if value.size else memoryview(b""))
    return {"blob": len(blobs) - 1, "shape": list(value.shape), "kind": value.dtype.name}


def _blob(raw: dict, blobs: list[bytes]) -> bytes:
    index = raw["blob"]
    if type(index) is not int or not 0 <= index < len(blobs):
        raise WireError("bad blob index")
    return blobs[index]


def _array(raw: Any, blobs: list[bytes]) -> np.ndarray | None:
    if raw is None:
        return None
    shape = raw["shape"]
    if len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise WireError("bad array shape")
    return np.frombuffer(_blob(raw, blobs), np.uint8).reshape(shape)


def _numbers(raw: dict, blobs: list[bytes]) -> np.ndarray:
    """Return an array of numbers that are no pixels: one to three axes, empty ones too."""
    shape, kind = raw["shape"], raw["kind"]
    if not 1 <= len(shape) <= 3 or not all(type(side) is int and side >= 0 for side in shape) or kind not in _NUMBERS:
        raise WireError("bad array of numbers")
    return np.frombuffer(_blob(raw, blobs), kind).reshape(shape)


def _floats(raw: Any, blobs: list[bytes]) -> tuple[float, ...]:
    if not isinstance(raw, list) or not all(type(item) in (int, float) for item in raw):
        raise WireError("bad numbers")
    return tuple(map(float, raw))


def _texts(raw: Any, blobs: list[bytes]) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(type(item) is str for item in raw):
        raise WireError("bad texts")
    return tuple(raw)


def _whole(raw: Any, blobs: list[bytes]) -> tuple[int, ...]:
    if not isinstance(raw, list) or not all(type(item) is int for item in raw):
        raise WireError("bad numbers")
    return tuple(raw)


def _source(raw: Any, blobs: list[bytes]) -> Source:
    encoded = raw["encoded"]
    return Source(_array(raw["pixels"], blobs), None if encoded is None else _blob(encoded, blobs))


def _pack_results(results: tuple[Result, ...], blobs: list[memoryview]) -> list[dict]:
    """Pack the first result with its whole request, and each other one with its differences from that."""
    packed: list[dict] = []
    first: dict = {}
    for result in results:
        own = json.loads(result.request.to_json())
        first = first or own
        others = {spec.name: _pack(getattr(result, spec.name), blobs)
                  for spec in dataclasses.fields(result) if spec.name != "request"}
        packed.append({**others, "request": _changes(first, own) if packed else own})
    return packed


def _results(raw: Any, blobs: list[bytes]) -> tuple[Result, ...]:
    first = raw[0]["request"] if raw else {}
    return tuple(_unpack(Result, {**item, "request": {**first, **item["request"]}}, blobs) for item in raw)


def _request(raw: Any, blobs: list[bytes]) -> Request:
    return Request.from_json(raw) if isinstance(raw, str) else Request.from_dict(raw)


# How to decode a field, by its type. Other types must be plain JSON values.
_DECODERS: dict[object, Callable[[Any, list[bytes]], Any]] = {
    EngineConfig: lambda raw, blobs: _unpack(EngineConfig, raw, blobs),
    Request: _request,
    dict[str, Source]: lambda raw, blobs: {str(role): _source(item, blobs) for role, item in raw.items()},
    np.ndarray | None: _array,
    Source | None: lambda raw, blobs: None if raw is None else _source(raw, blobs),
    tuple[Result, ...]: _results,
    np.ndarray: _numbers,
    tuple[np.ndarray, ...]: lambda raw, blobs: tuple(_numbers(item, blobs) for item in raw),
    tuple[Bare, ...]: lambda raw, blobs: tuple(_unpack(Bare, item, blobs) for item in raw),
    tuple[float, ...]: _floats,
    tuple[str, ...]: _texts,
    tuple[int, ...]: _whole,
    ShotOrder | None: lambda raw, blobs: None if raw is None else _unpack(ShotOrder, raw, blobs),
    tuple[Lens, ...]: lambda raw, blobs: tuple(_unpack(Lens, item, blobs) for item in raw),
    tuple[Onto, ...]: lambda raw, blobs: tuple(_unpack(Onto, item, blobs) for item in raw),
    Triangles: lambda raw, blobs: _unpack(Triangles, raw, blobs),
    Scenery | None: lambda raw, blobs: None if raw is None else _unpack(Scenery, raw, blobs),
    PbrMaps | None: lambda raw, blobs: None if raw is None else from_dict(PbrMaps, raw),
    dict[str, str]: lambda raw, blobs: {str(name): str(version) for name, version in raw.items()},
}


@functools.cache
def _types_of(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _unpack(cls: type, body: dict, blobs: list[bytes]) -> Any:
    """Build `cls` from a decoded JSON object, checking types: the other process is trusted, its bytes are not."""
    kinds = _types_of(cls)
    return cls(**{name: _decode(kinds[name], raw, blobs) for name, raw in body.items()})


def _decode(kind: Any, raw: Any, blobs: list[bytes]) -> Any:
    if kind in _DECODERS:
        return _DECODERS[kind](raw, blobs)
    if type(raw) is kind or kind is float and type(raw) is int:
        return raw
    raise WireError(f"{raw!r:.40} is not of the type {kind.__name__}")
