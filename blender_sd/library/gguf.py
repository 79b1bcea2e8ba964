"""Read the header of a GGUF file: its tensors' names and shapes.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

from .paths import open_plain

_MAGIC = b"GGUF"
_MAX_COUNT = 1 << 20  # entries
_MAX_WORDS = 1 << 19  # strings in all lists, such as a large tokenizer's vocabulary and merges
_MAX_HEADER = 32 << 20  # bytes; some five million with the tokenizer of a large language model
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9


def read_header(file: str) -> dict[str, Any]:
    """Return the tensors in a GGUF file: names to {"shape"}, with sides in torch's order.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no GGUF file.
    """
    with open_plain(file) as data:
        if data.read(4) != _MAGIC or _number(data, "I") < 2:
            raise ValueError("no GGUF header")
        tensors, entries = _count(data), _count(data)
        words = 0
        for _ in range(entries):
            _pass_over(data, _length(data))
            words += _skip(data, _number(data, "I"))
            if words > _MAX_WORDS:
                raise ValueError("its lists are too long")
        header: dict[str, Any] = {}
        for _ in range(tensors):
            name = _text(data)
            sides = [_number(data, "Q") for _ in range(_few(_number(data, "I")))]
            data.seek(12, os.SEEK_CUR)  # its type and the offset of its weights
            header[name] = {"shape": sides[::-1]}
        return header


def _skip(data: BinaryIO, kind: int) -> int:
    """Skip a value and return the number of strings in it."""
    count = 0
    if kind == _TEXT:
        _pass_over(data, _length(data))
    elif kind == _LIST:
        kind, count = _number(data, "I"), _count(data)
        if kind in _NUMBERS:
            _pass_over(data, count * struct.calcsize(_NUMBERS[kind]))
        else:
            if count > _MAX_WORDS or kind != _TEXT:  # no real file has lists of lists
                raise ValueError(f"a list of {count} values of the kind {kind}")
            for _ in range(count):
                _pass_over(data, _length(data))
    elif kind in _NUMBERS:
        _number(data, _NUMBERS[kind])
    else:
        raise ValueError(f"unknown kind {kind}")
    return count


def _count(data: BinaryIO) -> int:
    count = _number(data, "Q")
    if count > _MAX_COUNT:
        raise ValueError(f"{count} entries")
    return count


def _few(sides: int) -> int:
    if sides > 8:
        raise ValueError(f"a tensor with {sides} sides")
    return sides


def _length(data: BinaryIO) -> int:
    length = _number(data, "Q")
    if data.tell() + length > _MAX_HEADER:
        raise ValueError("the header is too long")
    return length


def _pass_over(data: BinaryIO, count: int) -> None:
    data.seek(count, os.SEEK_CUR)
    if data.tell() > _MAX_HEADER:
        raise ValueError("the header is too long")


def _text(data: BinaryIO) -> str:
    return data.read(_length(data)).decode("utf-8", "replace")


def _number(data: BinaryIO, code: str) -> Any:
    raw = data.read(struct.calcsize(f"<{code}"))
    try:
        return struct.unpack(f"<{code}", raw)[0]
    except struct.error as error:
        raise ValueError("the file ends too soon") from error
