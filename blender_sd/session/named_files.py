"""What lies in the model folders as one safetensors file and is known by its name: LoRAs, IP-Adapters, textual inversions.
Reads headers only."""
from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.checkpoints import EMBEDDING, IP_ADAPTER, LORA, SUFFIX
from ..protocol.errors import ModelNotFound, ModelUnreadable
from .folders import full_path, kind_at, files_in

_WORDS = {LORA: "LoRA", IP_ADAPTER: "IP-Adapter", EMBEDDING: "textual inversion"}


@dataclass(frozen=True)
class NamedFile:
    """One file: `name`, its own without the ending, is what people and prompts call it; `file` is its path."""

    name: str
    file: str


def find_files(kind: str, folders: Iterable[str]) -> list[NamedFile]:
    """Every file of `kind` (LORA, IP_ADAPTER, EMBEDDING) in `folders` or up to two levels below, by name; a name that is taken goes to
    the first file."""
    found: dict[str, NamedFile] = {}
    for file in files_in(folders):
        name = name_of(file)
        if name.casefold() not in found and _is(kind, file):
            found[name.casefold()] = NamedFile(name, file)
    return [found[key] for key in sorted(found)]


def resolve_file(kind: str, name_or_path: str, folders: Iterable[str]) -> NamedFile:
    """The file of `kind` that a person means: its path, or its name with or without ".safetensors". Raises ModelNotFound (the
    hint names what is near) and ModelUnreadable for a file of another kind."""
    wanted = name_or_path.strip().strip("\"'")
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        if not _is(kind, path):
            raise ModelUnreadable(f"The file '{os.path.basename(path)}' is no {_WORDS[kind]} in the safetensors format.",
                                  "Choose another file.")
        return NamedFile(name_of(path), path)
    key = wanted.casefold().removesuffix(SUFFIX)
    known = find_files(kind, folders)
    for one in known:
        if one.name.casefold() == key:
            return one
    near = difflib.get_close_matches(key, [one.name.casefold() for one in known], 5, 0.5) or [one.name.casefold() for one in known[:8]]
    names = ", ".join(one.name for one in known if one.name.casefold() in near)
    raise ModelNotFound(f"There is no {_WORDS[kind]} called '{wanted:.200}'.",
                        f"There is: {names}." if names else "Put its .safetensors file into one of the model folders.")


def name_of(file: str) -> str:
    """What a person calls the file."""
    return os.path.splitext(os.path.basename(file.replace("\\", "/")))[0]


def _is(kind: str, file: str) -> bool:
    found = kind_at(file)
    return found is not None and found.name == kind
