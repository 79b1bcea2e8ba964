"""Find LoRAs, IP-Adapters, textual inversions and upscalers in the model folders, by name. Only headers are read.

Each is a safetensors file; upscalers may also be folders in diffusers format.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..core.errors import ModelNotFound, ModelUnreadable
from ..core.few_steps import FewSteps
from ..core.names import name_key, suggestion
from . import model_folders
from ..core.nets import EMBEDDING, IP_ADAPTER, LORA, STARTER, UPSCALER, VAE, VAE_PART
from .checkpoints import PICKLES, STARTER_UPSCALER_FILE, SUFFIX, UPSCALER_PIPELINES, VAE_CLASSES
from .model_folders import INDEX, few_steps_at, files_in, full_path, kind_at, places, read_json, refuse_elsewhere

_CONFIG = "config.json"
_WORDS = {VAE: "VAE", LORA: "LoRA", IP_ADAPTER: "IP-Adapter", EMBEDDING: "textual inversion", UPSCALER: "upscaler"}


@dataclass(frozen=True)
class NamedFile:
    """A file that people and prompts know by its name.

    Attributes:
        name: Its name without the ending.
        file: Its path, or that of its folder; "starter" for the built-in upscaler.
    """

    name: str
    file: str

    @property
    def few_steps(self) -> FewSteps | None:
        """The kind of few-step LoRA that it is, or None."""
        return few_steps_at(self.file)


def find_files(kind: str, folders: Iterable[str]) -> list[NamedFile]:
    """Every file of `kind` (LORA, IP_ADAPTER, EMBEDDING, UPSCALER, VAE) in `folders` or below that can be used, by
    name; a name that is taken goes to the first file."""
    folders = list(folders)
    by_name: dict[str, NamedFile] = {}
    for candidate in (*(NamedFile(name_of(file), file) for file in files_in(folders)), *_folders(kind, folders)):
        key = name_key(candidate.name)
        if key not in by_name and (os.path.isdir(candidate.file) or _is(kind, candidate.file)):
            by_name[key] = candidate
    return [by_name[key] for key in sorted(by_name)]


def resolve_file(kind: str, name_or_path: str, folders: Iterable[str]) -> NamedFile:
    """Return the file of a kind that a person means.

    Upscalers of an unknown kind are accepted, since the engine knows more kinds than their headers tell.

    Args:
        kind: LORA, IP_ADAPTER, EMBEDDING or UPSCALER.
        name_or_path: A path, or a name with or without ".safetensors".
        folders: The model folders.

    Raises:
        ModelNotFound: There is no such file; the hint suggests similar names.
        ModelUnreadable: It is a pickle file or a file of another kind.
    """
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    if name_key(wanted) == STARTER and (net := built_in(kind)):
        return net
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        _check(kind, path)
        return NamedFile(name_of(path), path)
    if wanted and (of_folder := _folder(kind, path)):
        return of_folder
    key = name_key(wanted).removesuffix(SUFFIX)
    known = find_files(kind, folders)
    for candidate in known:
        if name_key(candidate.name) == key:
            return candidate
    if inside := _named_with_folder(kind, key, folders):
        return inside
    if kind == LORA and wanted:  # A1111 calls LoRAs by the name that their trainer gave them
        for candidate in known:
            if name_key(model_folders.own_name_at(candidate.file)) == key:
                return candidate
    for file in files_in(folders, *PICKLES):
        if wanted and name_key(wanted) in (name_key(os.path.basename(file)), name_key(name_of(file))):
            _check(kind, file)
    raise ModelNotFound(f"There is no {_WORDS[kind]} called '{wanted:.200}'.",
                        suggestion(key, (each.name for each in known),
                                   "Put its .safetensors file into one of the model folders."))


def built_in(kind: str) -> NamedFile | None:
    """Return the file of a kind that the add-on brings with it, or None."""
    return NamedFile("Starter", STARTER) if kind == UPSCALER and os.path.isfile(STARTER_UPSCALER_FILE) else None


def _named_with_folder(kind: str, key: str, folders: Iterable[str]) -> NamedFile | None:
    """Return the file that is named with the folders that it lies in, as ComfyUI and SwarmUI do ("styles/ink"); where
    there are none such here, the file of that name alone.
    """
    parts = [part for part in key.replace("\\", "/").split("/") if part]
    if len(parts) < 2:
        return None
    alike = [file for file in files_in(folders) if name_key(name_of(file)) == parts[-1] and _is(kind, file)]
    tail = "/" + "/".join(parts)
    exact = [file for file in alike if name_key(os.path.splitext(file.replace(os.sep, "/"))[0]).endswith(tail)]
    return next((NamedFile(name_of(file), file) for file in (*exact, *alike)), None)


def name_of(file: str) -> str:
    """Return what people call the file."""
    return os.path.splitext(os.path.basename(file.replace("\\", "/")))[0]


def _check(kind: str, file: str) -> None:
    name = os.path.basename(file)
    if file.lower().endswith(PICKLES):
        raise ModelUnreadable(f"The file {name} is a pickle file, which could run any program when opened.",
                              "Get its safetensors version, or have it converted by a program that you trust.")
    found = kind_at(file)
    if found is not None and kind == VAE and (found.has_vae or found.is_checkpoint and VAE_PART not in found.lacks):
        return  # that of a whole model
    if found is None or found.name != kind and not (kind == UPSCALER and not found.name):
        raise ModelUnreadable(f"The file '{name}' is no {_WORDS[kind]} in the safetensors format.",
                              "Choose another file.")
    if found.refusal:
        raise ModelUnreadable(f"The file '{name}' cannot be used. {found.refusal}", "Choose another file.")


def _folders(kind: str, folders: Iterable[str]) -> Iterator[NamedFile]:
    """The folders in diffusers format that are of `kind`."""
    if kind in (UPSCALER, VAE):
        yield from filter(None, (_folder(kind, place) for folder in folders
                                 for place in places(full_path(folder), leaf=INDEX)))


def _folder(kind: str, folder: str) -> NamedFile | None:
    name, known = (INDEX, UPSCALER_PIPELINES) if kind == UPSCALER else (_CONFIG, VAE_CLASSES)
    if kind not in (UPSCALER, VAE) or not os.path.isfile(os.path.join(folder, name)):
        return None
    try:
        ours = read_json(folder, name).get("_class_name") in known
    except ModelUnreadable:
        return None  # the list of models reports it
    return NamedFile(model_folders.name_of(folder), folder) if ours else None


def _is(kind: str, file: str) -> bool:
    found = kind_at(file)
    in_a_folder = kind == VAE and os.path.isfile(os.path.join(os.path.dirname(file), _CONFIG))  # which is listed itself
    return found is not None and found.name == kind and not found.refusal and not in_a_folder
