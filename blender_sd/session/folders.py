"""What model folders and the small JSON files in them have in common."""
from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..protocol import few_steps
from ..protocol.checkpoints import SUFFIX, Kind, kind_of, read_header, read_title
from ..protocol.errors import ModelUnreadable
from ..protocol.few_steps import FewSteps
from ..protocol.hub import CACHED, name_of

log = logging.getLogger("blender_sd")

INDEX = "model_index.json"
_NAMELESS = ("pytorch_lora_weights", "diffusion_pytorch_model", "model")
_MAX_FILES = 5000  # safetensors files looked at
_MAX_JSON = 1 << 20  # bytes; real ones have a few thousand
_MAX_ENTRIES = 2000  # folder entries looked at in one place


def full_path(folder: str) -> str:
    """`folder` made absolute, "~" included; "" stays ""."""
    return os.path.abspath(os.path.expanduser(folder)) if folder else ""


def subfolders(folder: str) -> list[str]:
    """The visible folders in `folder`, sorted; none, and a line in the log, where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for _, entry in zip(range(_MAX_ENTRIES), entries) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        log.info("cannot look for models in %s: %s", folder, error)
        return []
    return sorted(found)


def places(folder: str, depth: int = 2, leaf: str = "") -> Iterator[str]:
    """`folder` and those in it, `depth` levels deep, with Hugging Face's cache looked through; nothing in a folder that
    holds the file `leaf`."""
    if not folder:
        return
    yield folder
    if not depth or leaf and os.path.isfile(os.path.join(folder, leaf)):
        return
    for place in subfolders(folder):
        if os.path.basename(place).startswith(CACHED):
            for snapshot in subfolders(os.path.join(place, "snapshots")):
                yield from places(snapshot, 0)
        else:
            yield from places(place, depth - 1, leaf)


def files_in(folders: Iterable[str], *suffixes: str) -> Iterator[str]:
    """The files ending in `suffixes` (by default safetensors) that lie in `folders` or up to two levels below, those of models in
    diffusers format left out."""
    files = (os.path.join(place, name) for folder in folders for place in places(full_path(folder), leaf=INDEX)
             if not os.path.isfile(os.path.join(place, INDEX)) for name in _names(place)
             if name.lower().endswith(suffixes or SUFFIX) and not name.startswith("."))
    return (file for _, file in zip(range(_MAX_FILES), files))


def kind_at(file: str) -> Kind | None:
    """What the safetensors or GGUF file holds; None, and a line in the log, where it cannot be read. Remembered while it does
    not change."""
    try:
        stat = os.stat(file)
        return _kind(file, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError) as error:
        log.info("cannot read %s: %s", file, error)
        return None


@functools.lru_cache(maxsize=4096)
def _kind(file: str, _changed: int, _size: int) -> Kind:
    return kind_of(read_header(file))


def few_steps_at(file: str) -> FewSteps | None:
    """What kind of few-step model or LoRA the safetensors file is, by its title and its name; where that says nothing, as that of
    diffusers' files, by its folder's. None for all others."""
    try:
        stat = os.stat(file)
        title = _title(file, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError):
        title = ""
    stem = os.path.splitext(os.path.basename(file))[0]
    return few_steps.named(title, name_of(os.path.dirname(file)) if stem in _NAMELESS else stem)


@functools.lru_cache(maxsize=4096)
def _title(file: str, _changed: int, _size: int) -> str:
    return read_title(file)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def unreadable(folder: str, file: str, detail: str) -> ModelUnreadable:
    """The error for a file of a model that holds nonsense."""
    return ModelUnreadable(f"The model in {folder} cannot be read: its {file} is broken.", "Download or copy the model again.", detail)


def read_json(folder: str, *names: str) -> dict[str, Any]:
    """The JSON object in the file `names` of `folder`. Raises ModelUnreadable."""
    name = "/".join(names)
    try:
        with open(os.path.join(folder, *names), "rb") as file:
            data = file.read(_MAX_JSON + 1)
    except OSError as error:
        raise ModelUnreadable(
            f"The model in {folder} cannot be read: its {name} cannot be opened ({error.strerror}).",
            "Download or copy the model again.", repr(error)) from error
    if len(data) > _MAX_JSON:
        raise unreadable(folder, name, f"longer than {_MAX_JSON} bytes")
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise unreadable(folder, name, repr(error)) from error
    if not isinstance(value, dict):
        raise unreadable(folder, name, "not a JSON object")
    return value
