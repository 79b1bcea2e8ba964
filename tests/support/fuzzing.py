"""What targets of fuzzing are made with: their list, files that they read, and what a refusal must be like.

A target returns, whatever it is given; what it lets through is a defect. What a reader may raise by its documentation,
its target takes in, after a look at the words that a person would see. `SEEDS` holds sound inputs from which fuzzers
start.
"""
from __future__ import annotations

import atexit
import functools
import importlib
import os
import shutil
import tempfile
import types
from collections.abc import Callable


from blender_sd.core.errors import (
    SDError,
)


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGETS: dict[str, Callable[[bytes], None]] = {}
SEEDS: dict[str, list[bytes]] = {}
_TIME = 1_700_000_000, 1_700_000_000


def target(name: str, *seeds: bytes) -> Callable:
    """Lists the function under `name`."""
    def listed(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[name], SEEDS[name] = function, list(seeds)
        return function
    return listed


def refused(error: SDError) -> None:
    """What a person would be shown can be shown: Blender draws no half of a pair of surrogates, and nobody reads
    pages."""
    assert str(error).encode() and error.message and len(str(error)) < 2000, repr(error)[:300]


@functools.cache
def place() -> str:
    """A private folder for files, gone at the end."""
    folder = tempfile.mkdtemp(prefix="sd-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def put(name: str, data: bytes) -> str:
    """`data` as the file `name`; its time changes with each call, for what remembers files by it."""
    global _TIME
    path = os.path.join(place(), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    _TIME = _TIME[0] + 1, _TIME[1] + 1
    os.utime(path, _TIME)
    return path


def text(data: bytes) -> str:
    """`data` as text, in which there may be halves of pairs of surrogates."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def optional(name: str) -> types.ModuleType | None:
    """The module `name`; None where pip or Pillow, which it needs, is not here."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pip", "PIL"):
            raise
        return None
