"""What lies in the model folders as one safetensors file and is known by its name: LoRAs, IP-Adapters, textual inversions,
upscalers (of which some are folders in diffusers format). Reads headers only."""
from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol.checkpoints import EMBEDDING, IP_ADAPTER, LORA, PICKLES, SUFFIX, UPSCALER, UPSCALER_PIPELINES
from ..protocol.errors import ModelNotFound, ModelUnreadable
from ..protocol.few_steps import FewSteps
from . import folders as model_folders
from .folders import INDEX, few_steps_at, files_in, full_path, kind_at, places, read_json, refuse_elsewhere

_WORDS = {LORA: "LoRA", IP_ADAPTER: "IP-Adapter", EMBEDDING: "textual inversion", UPSCALER: "upscaler"}


@dataclass(frozen=True)
class NamedFile:
    """One file: `name`, its own without the ending, is what people and prompts call it; `file` is its path (or a folder's)."""

    name: str
    file: str

    @property
    def few_steps(self) -> FewSteps | None:
        """The few-step LoRA that it is, if any."""
        return few_steps_at(self.file)


def find_files(kind: str, folders: Iterable[str]) -> list[NamedFile]:
    """Every file of `kind` (LORA, IP_ADAPTER, EMBEDDING, UPSCALER) in `folders` or up to two levels below, by name; a name that is
    taken goes to the first file."""
    folders = list(folders)
    found: dict[str, NamedFile] = {}
    for one in (*(NamedFile(name_of(file), file) for file in files_in(folders)), *_folders(kind, folders)):
        if one.name.casefold() not in found and (os.path.isdir(one.file) or _is(kind, one.file)):
            found[one.name.casefold()] = one
    return [found[key] for key in sorted(found)]


def resolve_file(kind: str, name_or_path: str, folders: Iterable[str]) -> NamedFile:
    """The file of `kind` that a person means: its path, or its name with or without ".safetensors". Raises ModelNotFound (the
    hint names what is near) and ModelUnreadable for a pickle and for a file of another kind. Of upscalers, files of a kind that
    is not known pass: the engine knows more kinds than their headers tell."""
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        _check(kind, path)
        return NamedFile(name_of(path), path)
    if wanted and (of_folder := _folder(kind, path)):
        return of_folder
    key = wanted.casefold().removesuffix(SUFFIX)
    known = find_files(kind, folders)
    for one in known:
        if one.name.casefold() == key:
            return one
    for file in files_in(folders, *PICKLES):
        if wanted and wanted.casefold() in (os.path.basename(file).casefold(), name_of(file).casefold()):
            _check(kind, file)
    near = difflib.get_close_matches(key, [one.name.casefold() for one in known], 5, 0.5) or [one.name.casefold() for one in known[:8]]
    names = ", ".join(one.name for one in known if one.name.casefold() in near)
    raise ModelNotFound(f"There is no {_WORDS[kind]} called '{wanted:.200}'.",
                        f"There is: {names}." if names else "Put its .safetensors file into one of the model folders.")


def name_of(file: str) -> str:
    """What a person calls the file."""
    return os.path.splitext(os.path.basename(file.replace("\\", "/")))[0]


def _check(kind: str, file: str) -> None:
    name = os.path.basename(file)
    if file.lower().endswith(PICKLES):
        raise ModelUnreadable(f"The file {name} is a pickle file, which could run any program when opened.",
                              "Get its safetensors version, or have it converted by a program that you trust.")
    found = kind_at(file)
    if found is None or found.name != kind and not (kind == UPSCALER and not found.name):
        raise ModelUnreadable(f"The file '{name}' is no {_WORDS[kind]} in the safetensors format.", "Choose another file.")


def _folders(kind: str, folders: Iterable[str]) -> Iterator[NamedFile]:
    """The folders in diffusers format that are of `kind`."""
    if kind == UPSCALER:
        yield from filter(None, (_folder(kind, place) for folder in folders for place in places(full_path(folder), leaf=INDEX)))


def _folder(kind: str, folder: str) -> NamedFile | None:
    if kind != UPSCALER or not os.path.isfile(os.path.join(folder, INDEX)):
        return None
    try:
        ours = read_json(folder, INDEX).get("_class_name") in UPSCALER_PIPELINES
    except ModelUnreadable:
        return None  # the list of models says so
    return NamedFile(model_folders.name_of(folder), folder) if ours else None


def _is(kind: str, file: str) -> bool:
    found = kind_at(file)
    return found is not None and found.name == kind
