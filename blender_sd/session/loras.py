"""The LoRA files in the model folders, told by the names of the tensors in them. Reads headers only, loads no weights.

A safetensors file begins with the length of its header (8 bytes, little-endian), then the header as JSON:
https://huggingface.co/docs/safetensors
"""
from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.errors import ModelNotFound, ModelUnreadable
from .folders import full_path, places

log = logging.getLogger("blender_sd")

SUFFIX = ".safetensors"
_MARKS = (".lora_A.", ".lora_down.", "lora.down.", "lora_linear_layer.down.", ".lora_B.", "_lora.down.")
_MAX_HEADER = 32 << 20  # bytes; those of the largest models have a few million
_MAX_FILES = 5000


@dataclass(frozen=True)
class LoraInfo:
    """One LoRA: `name` is what a tag <lora:name:1> calls it, `file` its path."""

    name: str
    file: str


def find_loras(folders: Iterable[str]) -> list[LoraInfo]:
    """Every LoRA in `folders` or up to two levels below, by name; a name that is taken goes to the first file."""
    found: dict[str, LoraInfo] = {}
    files = (file for folder in folders for place in places(full_path(folder)) for file in _files(place))
    for _, file in zip(range(_MAX_FILES), files):
        name = name_of(file)
        if name.casefold() not in found and is_lora(file):
            found[name.casefold()] = LoraInfo(name, file)
    return [found[key] for key in sorted(found)]


def resolve_lora(name_or_path: str, folders: Iterable[str]) -> LoraInfo:
    """The LoRA that a person means: a file's path, or its name with or without ".safetensors". Raises ModelNotFound (the
    hint names what is near) and ModelUnreadable for a file that is none."""
    wanted = name_or_path.strip().strip("\"'")
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        if not is_lora(path):
            raise ModelUnreadable(f"The file '{os.path.basename(path)}' is no LoRA in the safetensors format.", "Choose another file.")
        return LoraInfo(name_of(path), path)
    key = wanted.casefold().removesuffix(SUFFIX)
    known = find_loras(folders)
    for lora in known:
        if lora.name.casefold() == key:
            return lora
    near = difflib.get_close_matches(key, [lora.name.casefold() for lora in known], 5, 0.5) or [lora.name for lora in known[:8]]
    names = ", ".join(lora.name for lora in known if lora.name in near or lora.name.casefold() in near)
    raise ModelNotFound(f"There is no LoRA called '{wanted:.200}'.",
                        f"There is: {names}." if names else "Put its .safetensors file into one of the model folders.")


def is_lora(file: str) -> bool:
    """Whether `file` is a safetensors file that holds a LoRA; False for one that cannot be read."""
    try:
        with open(file, "rb") as data:
            length = int.from_bytes(data.read(8), "little")
            header = json.loads(data.read(length)) if 2 <= length <= _MAX_HEADER else {}
    except (OSError, ValueError, RecursionError) as error:
        log.info("cannot read %s: %s", file, error)
        return False
    return isinstance(header, dict) and any(mark in key for key in header for mark in _MARKS)


def name_of(file: str) -> str:
    """What a person calls the LoRA in `file`."""
    return os.path.splitext(os.path.basename(file.replace("\\", "/")))[0]


def _files(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.lower().endswith(SUFFIX) and not name.startswith(".")]
