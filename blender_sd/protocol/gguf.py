"""The header of a GGUF file: its tensors' names and shapes, read with the standard library.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

_MAGIC = b"GGUF"
_MAX_COUNT, _MAX_TEXT = 1 << 20, 1 << 24  # entries; bytes of one text, such as a tokenizer's list would have many of
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


def read_header(file: str) -> dict[str, Any]:
    """The tensors in the GGUF file `file`: names to {"shape"}, as torch counts the sides. Raises OSError, and ValueError where it
    is none."""
    with open(file, "rb") as data:
        if data.read(4) != _MAGIC or _number(data, "I") < 2:
            raise ValueError("no GGUF header")
        tensors, entries = _count(data), _count(data)
        for _ in range(entries):
            _text(data)
            _skip(data, _number(data, "I"))
        found: dict[str, Any] = {}
        for _ in range(tensors):
            name = _text(data)
            sides = [_number(data, "Q") for _ in range(min(_number(data, "I"), 8))]
            data.seek(12, os.SEEK_CUR)  # its type, and where its weights begin
            found[name] = {"shape": sides[::-1]}
        return found


def _skip(data: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _text(data)
    elif kind == _LIST:
        kind, count = _number(data, "I"), _count(data)
        if kind in _NUMBERS:
            data.seek(count * struct.calcsize(_NUMBERS[kind]), os.SEEK_CUR)
        else:
            for _ in range(count):
                _skip(data, kind if kind != _LIST else -1)  # lists of lists are in no file
    elif kind in _NUMBERS:
        _number(data, _NUMBERS[kind])
    else:
        raise ValueError(f"unknown kind {kind}")


def _count(data: BinaryIO) -> int:
    count = _number(data, "Q")
    if count > _MAX_COUNT:
        raise ValueError(f"{count} entries")
    return count


def _text(data: BinaryIO) -> str:
    length = _number(data, "Q")
    if length > _MAX_TEXT:
        raise ValueError(f"a text of {length} bytes")
    return data.read(length).decode("utf-8", "replace")


def _number(data: BinaryIO, code: str) -> Any:
    raw = data.read(struct.calcsize(f"<{code}"))
    try:
        return struct.unpack(f"<{code}", raw)[0]
    except struct.error as error:
        raise ValueError("the file ends too soon") from error
