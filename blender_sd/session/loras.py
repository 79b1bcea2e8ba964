"""The LoRA files in the model folders, told by the names of the tensors in them. Reads headers only, loads no weights."""
from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.checkpoints import LORA, SUFFIX
from ..protocol.errors import ModelNotFound, ModelUnreadable
from .folders import full_path, kind_at, safetensors_in


@dataclass(frozen=True)
class LoraInfo:
    """One LoRA: `name` is what a tag <lora:name:1> calls it, `file` its path."""

    name: str
    file: str


def find_loras(folders: Iterable[str]) -> list[LoraInfo]:
    """Every LoRA in `folders` or up to two levels below, by name; a name that is taken goes to the first file."""
    found: dict[str, LoraInfo] = {}
    for file in safetensors_in(folders):
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
    kind = kind_at(file)
    return kind is not None and kind.name == LORA


def name_of(file: str) -> str:
    """What a person calls the LoRA in `file`."""
    return os.path.splitext(os.path.basename(file.replace("\\", "/")))[0]
