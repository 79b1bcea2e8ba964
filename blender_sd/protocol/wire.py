"""How messages travel: a frame is `SDB1`, the length of a JSON header, the header, then the raw blobs it announces.

Never pickle: a decoder that meets anything but a well-formed message of the closed set raises `WireError`.
"""
from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .errors import InvalidRequest
from .messages import (
    Alive, Cancel, Cancelled, Check, EngineConfig, Failed, Fetch, Fetched, Finished, Found, Generate, Hello, Install, Installed, Loading,
    Note, Ready, Result, Shutdown, Source, Stage, Step, Verified, Verify,
)
from .request import Request

MAGIC = b"SDB1"
MAX_HEADER = 1 << 20  # bytes; requests are a few hundred
MAX_BLOBS = 32
MAX_BLOB = 1 << 30  # bytes; an 8192² RGBA source is a quarter of it
_PREFIX = struct.Struct("<4sI")

_MESSAGES = {cls.__name__: cls for cls in (
    Hello, Generate, Fetch, Install, Check, Verify, Cancel, Shutdown, Ready, Alive, Loading, Step, Note, Found, Fetched, Stage, Installed,
    Verified, Finished, Cancelled, Failed)}


class WireError(Exception):
    """The stream does not hold a message: the other side is not ours, or broke off."""


def write_message(stream: BinaryIO, message: Any) -> None:
    """Writes one message and flushes. Raises OSError where the other side is gone."""
    blobs: list[memoryview] = []
    header = {"type": type(message).__name__, "body": _pack(message, blobs), "blobs": [blob.nbytes for blob in blobs]}
    text = json.dumps(header, ensure_ascii=False).encode("utf-8")
    if len(text) > MAX_HEADER:
        raise InvalidRequest("The prompt is too long to send.", "Shorten it to a few thousand words.")
    stream.write(_PREFIX.pack(MAGIC, len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def read_message(stream: BinaryIO) -> Any:
    """The next message, or None at the end of the stream. Raises WireError for anything else."""
    prefix = _read(stream, _PREFIX.size, may_end=True)
    if prefix is None:
        return None
    magic, length = _PREFIX.unpack(prefix)
    if magic != MAGIC or length > MAX_HEADER:
        raise WireError("not a message")
    try:
        header = json.loads(_read(stream, length).decode("utf-8"))
        sizes = header["blobs"]
        if len(sizes) > MAX_BLOBS or not all(type(size) is int and 0 <= size <= MAX_BLOB for size in sizes):
            raise WireError("blob sizes out of bounds")
        blobs = [_read(stream, size) for size in sizes]
        return _unpack(_MESSAGES[header["type"]], header["body"], blobs)
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, InvalidRequest) as error:
        raise WireError(f"malformed message: {error!r}") from error


def _read(stream: BinaryIO, size: int, may_end: bool = False) -> bytes | None:
    parts, missing = [], size
    while missing:
        part = stream.read(missing)
        if not part:
            if may_end and missing == size:
                return None
            raise WireError("the stream ended inside a message")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


# ---- values <-> JSON + blobs ---------------------------------------------------------------------------------------


def _pack(value: Any, blobs: list[memoryview]) -> Any:
    if isinstance(value, Request):
        return value.to_json()
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.ndim != 3:
            raise TypeError(f"only H×W×C uint8 arrays travel, not {value.dtype} {value.shape}")
        blobs.append(memoryview(np.ascontiguousarray(value)).cast("B"))
        return {"blob": len(blobs) - 1, "shape": list(value.shape)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        blobs.append(memoryview(value))
        return {"blob": len(blobs) - 1}
    if dataclasses.is_dataclass(value):
        return {spec.name: _pack(getattr(value, spec.name), blobs) for spec in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _pack(item, blobs) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_pack(item, blobs) for item in value]
    return value


def _array(raw: Any, blobs: list[bytes]) -> np.ndarray | None:
    if raw is None:
        return None
    shape = raw["shape"]
    if len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise WireError("bad array shape")
    return np.frombuffer(blobs[raw["blob"]], np.uint8).reshape(shape)


def _source(raw: Any, blobs: list[bytes]) -> Source:
    encoded = raw["encoded"]
    return Source(_array(raw["pixels"], blobs), None if encoded is None else blobs[encoded["blob"]])


def _result(raw: Any, blobs: list[bytes]) -> Result:
    return _plain(Result, {**raw, "request": Request.from_json(raw["request"]), "pixels": _array(raw.get("pixels"), blobs)})


def _plain(cls: type, raw: dict) -> Any:
    """`cls(**raw)` after checking each plain field's type: the other process is trusted, its bytes are not."""
    for spec in dataclasses.fields(cls):
        kind = {"str": str, "int": int}.get(spec.type)
        if kind is not None and type(raw.get(spec.name, spec.default)) is not kind:
            raise WireError(f"{cls.__name__}.{spec.name} is not {spec.type}")
    return cls(**raw)


_SPECIAL: dict[str, Callable[[Any, list[bytes]], Any]] = {
    "config": lambda raw, blobs: _plain(EngineConfig, raw),
    "request": lambda raw, blobs: Request.from_json(raw),
    "inputs": lambda raw, blobs: {str(role): _source(item, blobs) for role, item in raw.items()},
    "preview": _array,
    "picture": lambda raw, blobs: None if raw is None else _source(raw, blobs),
    "results": lambda raw, blobs: tuple(_result(item, blobs) for item in raw),
    "versions": lambda raw, blobs: {str(name): str(version) for name, version in raw.items()},
}


def _unpack(cls: type, body: dict, blobs: list[bytes]) -> Any:
    values = {name: _SPECIAL[name](raw, blobs) if name in _SPECIAL else raw for name, raw in body.items()}
    return _plain(cls, values)
