"""Search model folders, and read the small JSON files in them."""
from __future__ import annotations

import functools
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from ..core import few_steps
from ..core.errors import ModelNotFound, ModelUnreadable
from ..core.few_steps import FewSteps
from ..core.hub import CACHED, name_of
from . import own_files
from .checkpoints import SUFFIX, Kind, read_kind, read_metadata, read_title
from .files import drawable
from .paths import is_elsewhere

log = logging.getLogger("blender_sd")

INDEX = "model_index.json"
_NAMELESS = ("pytorch_lora_weights", "diffusion_pytorch_model", "model")
_MAX_FILES = 5000  # safetensors files looked at
_MAX_JSON = 1 << 20  # bytes; real ones have a few thousand
_DEPTH, _MAX_PLACES = 8, 4000  # how deep, and in how many folders, models are looked for
_MAX_ENTRIES = 2000  # entries looked at in one folder


def full_path(folder: str) -> str:
    """Return `folder` as an absolute path, with "~" expanded; "" stays ""."""
    return os.path.abspath(os.path.expanduser(folder)) if folder else ""


def refuse_elsewhere(path: str, folders: Iterable[str]) -> None:
    """Raise ModelNotFound for a path on another computer, unless it is in one of the model folders. Nothing is opened.

    The path may come from the settings in somebody's picture or .blend file, and even testing whether it exists can do
    harm.
    """
    if not is_elsewhere(path, folders):
        return
    wanted = path.strip().strip("\"'")
    raise ModelNotFound(
        f"'{wanted:.120}' lies on another computer, and in none of the model folders.",
        "Add its folder to the model folders in the preferences if you trust it, or choose another one.",
    )


def subfolders(folder: str) -> list[str]:
    """Return the visible folders in `folder`, sorted. If it cannot be read, log that and return none."""
    try:
        with os.scandir(folder) as entries:
            folders = [entry.path for _, entry in zip(range(_MAX_ENTRIES), entries)
                     if entry.is_dir() and not entry.name.startswith(".") and drawable(entry.name)]
    except OSError as error:
        log.info("cannot look for models in %s: %s", folder, error)
        return []
    return sorted(folders)


def places(folder: str, leaf: str = "") -> Iterator[str]:
    """Yield `folder` and the folders in it, the nearest first, including Hugging Face's cache.

    Folders inside one that contains the file `leaf` are skipped. Links that lead round are followed once.
    """
    waiting = [(folder, _DEPTH)] if folder else []
    seen: set[str] = set()
    while waiting and len(seen) < _MAX_PLACES:
        place, depth = waiting.pop(0)
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        yield place
        if not depth or leaf and os.path.isfile(os.path.join(place, leaf)):
            continue
        for inner in subfolders(place):
            if os.path.basename(inner).startswith(CACHED):
                waiting += ((snapshot, 0) for snapshot in subfolders(os.path.join(inner, "snapshots")))
            else:
                waiting.append((inner, depth - 1))


def files_in(folders: Iterable[str], *suffixes: str) -> Iterator[str]:
    """Yield the files in `folders` and below that end in one of `suffixes` (by default safetensors).

    Files of models in diffusers format are skipped.
    """
    files = (os.path.join(place, name) for folder in folders for place in places(full_path(folder), leaf=INDEX)
             if not os.path.isfile(os.path.join(place, INDEX)) for name in _names(place)
             if name.lower().endswith(suffixes or SUFFIX) and not name.startswith("."))
    return (file for _, file in zip(range(_MAX_FILES), files))


def kind_at(file: str) -> Kind | None:
    """Return what the safetensors or GGUF file holds. If it cannot be read, log that and return None.

    The result is cached until the file changes.
    """
    try:
        about = os.stat(file)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no plain file")  # reading a pipe would block
        return _kind(file, about.st_mtime_ns, about.st_size)
    except (OSError, ValueError) as error:
        log.info("cannot read %s: %s", file, error)
        return None


@functools.lru_cache(maxsize=4096)
def _kind(file: str, _changed: int, _size: int) -> Kind:
    return read_kind(file)


def few_steps_at(file: str) -> FewSteps | None:
    """Return the kind of few-step model or LoRA that a safetensors file is, or None.

    It is recognised by title and file name, or by the folder's name if the file's name tells nothing, as in diffusers
    format.
    """
    try:
        about = os.stat(file)
        title = _title(file, about.st_mtime_ns, about.st_size) if stat.S_ISREG(about.st_mode) else ""
    except (OSError, ValueError):
        title = ""
    stem = os.path.splitext(os.path.basename(file))[0]
    return few_steps.named(title, name_of(os.path.dirname(file)) if stem in _NAMELESS else stem)


def own_name_at(file: str) -> str:
    """Return the name that its trainer has written into a LoRA's file, "" if there is none."""
    try:
        about = os.stat(file)
        return _own_name(file, about.st_mtime_ns, about.st_size) if stat.S_ISREG(about.st_mode) else ""
    except (OSError, ValueError):
        return ""


@functools.lru_cache(maxsize=4096)
def _own_name(file: str, _changed: int, _size: int) -> str:
    name = read_metadata(file).get("ss_output_name")
    return name if isinstance(name, str) else ""


@functools.lru_cache(maxsize=4096)
def _title(file: str, _changed: int, _size: int) -> str:
    return read_title(file)


def _names(folder: str) -> list[str]:
    try:
        return sorted(filter(drawable, os.listdir(folder)))
    except OSError:
        return []


def unreadable(folder: str, file: str, detail: str) -> ModelUnreadable:
    """Return the error for a broken file of a model."""
    return ModelUnreadable(f"The model in {folder} cannot be read: its {file} is broken.",
                           "Download or copy the model again.", detail)


def read_json(folder: str, *names: str) -> dict[str, Any]:
    """Return the JSON object in a file of a model.

    Args:
        folder: The model's folder.
        names: The parts of the file's path in it.

    Raises:
        ModelUnreadable: The file is missing, too large, or holds no JSON object.
    """
    name = "/".join(names)
    try:
        data = own_files.read(folder, os.path.join(*names), _MAX_JSON)
    except ValueError as error:
        raise unreadable(folder, name, f"longer than {_MAX_JSON} bytes") from error
    except OSError as error:
        raise ModelUnreadable(
            f"The model in {folder} cannot be read: its {name} cannot be opened ({error.strerror}).",
            "Download or copy the model again.", repr(error)) from error
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise unreadable(folder, name, repr(error)) from error
    if not isinstance(value, dict):
        raise unreadable(folder, name, "not a JSON object")
    return value
