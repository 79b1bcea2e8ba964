"""Choose which files of a repository on the hub are needed, by their names and the model's own index.

No network is used but by the functions that are handed in.

A model in diffusers format has the folders that its `model_index.json` names, each with its configs and one set of
weights.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..core import hub
from ..core.errors import ModelNotFound, ModelUnreadable
from ..library import checkpoints, model_parts, quantised
from ..library.checkpoints import PICKLES, SUFFIX, Kind

INDEX, CONFIG, ENCODER, PROCESSOR = "model_index.json", "config.json", "image_encoder", "preprocessor_config.json"
_TEXTS = (".json", ".txt", ".model", ".jinja")  # configs, tokenizers (SentencePiece's end in .model), chat templates
_NOTICES = re.compile(r"(LICEN[CS]E|NOTICE)[^/]*", re.IGNORECASE)
_HALVES = ("bf16", "fp16")  # variants of half the size, the better one first
_SHARDS = re.compile(r"(?:diffusion_pytorch_)?model\.safetensors\.index(?:\.(\w+))?\.json")
_NAMELESS = "pytorch_lora_weights" + SUFFIX  # diffusers' file name for every LoRA
_FIRST = 1 << 17  # bytes of a file that are asked for first; most headers are shorter
_LARGEST_UNKNOWN = 1 << 29  # bytes
_SAFE_REMEDY = "Choose a repository that has safetensors files."


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: Its path in the repository.
        size: Its size in bytes.
        sha256: The hash of its content; "" if the hub does not know it (small files).
    """

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Choice:
    """The files to download.

    Attributes:
        files: The files, by the path under which each is saved.
        key: The path of the file that makes the download a model. It is looked for later, so it is put into place last.
        single: Whether that file alone is the model.
    """

    files: dict[str, RemoteFile]
    key: str
    single: bool

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files.values())


def choose(repo: str, files: Iterable[RemoteFile], wanted: str, read: Callable[[RemoteFile], dict[str, Any]]) -> Choice:
    """Choose the files that a model needs.

    Args:
        repo: The repository, owner/name.
        files: Its files.
        wanted: The one file that was asked for; "" for the whole model.
        read: Returns the JSON object in a small file.

    Raises:
        ModelNotFound: There is no such file or no model.
        ModelUnreadable: There is a model, but in no usable form.
    """
    there = {file.path: file for file in files if _is_plain(file.path)}
    if wanted:
        return _one_file(repo, there, wanted)
    if INDEX in there:
        return _pipeline(there, read(there[INDEX]))
    if CONFIG in there and "_class_name" in read(there[CONFIG]):
        return Choice({**_part(there, "", _variant_of([_variants(there, "")])), **_notices(there)}, CONFIG, False)
    if CONFIG in there and hub.is_classifier(read(there[CONFIG])):
        extra = {PROCESSOR: there[PROCESSOR]} if PROCESSOR in there else {}
        return Choice({**_part(there, "", ""), **extra, **_notices(there)}, CONFIG, False)
    singles = [path for path in there if path.lower().endswith(SUFFIX)]
    if len(singles) == 1:
        return _one_file(repo, there, singles[0])
    if singles:
        raise ModelNotFound(f"The repository {repo} holds {len(singles)} single files; one must be named.",
                            f"Write one as {repo}/{sorted(singles)[0]}. There is: {_some(singles)}.")
    if any(path.lower().endswith(PICKLES) for path in there):
        raise ModelUnreadable(f"The repository {repo} has only pickle files, which could run any program when opened.",
                              _SAFE_REMEDY)
    raise ModelNotFound(f"The repository {repo} holds no model that diffusers can read.",
                        "Choose one in diffusers format.")


def _is_plain(path: str) -> bool:
    """Return whether a name from the hub stays inside the folder that it is saved in, on every system."""
    return not any(part in ("", ".", "..") or ":" in part or "\\" in part for part in path.split("/"))


def _some(paths: Iterable[str]) -> str:
    names = sorted(paths)
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _notices(there: dict[str, RemoteFile]) -> dict[str, RemoteFile]:
    return {path: file for path, file in there.items() if _NOTICES.fullmatch(path)}


def check(choice: Choice, start_of: Callable[[RemoteFile, int], bytes],
          read: Callable[[RemoteFile], dict[str, Any]]) -> None:
    """Check by the beginnings of the files that what was chosen can be read here.

    Args:
        choice: The files.
        start_of: Returns the first bytes of a file, so many or all.
        read: Returns the JSON object in a small file.

    Raises:
        ModelUnreadable: It cannot.
    """
    for path, file in choice.files.items():
        part, _, name = path.rpartition("/")
        if not path.lower().endswith(SUFFIX):
            if name == CONFIG and (how := model_parts.packing(read(file))):
                raise model_parts.packed(part or "model", how)
            continue
        header = _header(file, start_of)
        if choice.single and path == choice.key:
            _check_kind(file, checkpoints.kind_in(header))
        elif how := quantised.refusal({key: entry for key, entry in header.items() if not key.startswith("__")}):
            raise model_parts.packed(part or "model", how)


def _header(file: RemoteFile, start_of: Callable[[RemoteFile, int], bytes]) -> dict[str, Any]:
    try:
        start = start_of(file, _FIRST)
        length = checkpoints.header_length(start)
        return checkpoints.parsed(start if length <= len(start) else start_of(file, length), file.size)
    except ValueError as error:
        raise ModelUnreadable(f"The file {file.path} on the hub is no complete safetensors file.",
                              "Choose another one.", repr(error)) from None


def _check_kind(file: RemoteFile, kind: Kind) -> None:
    """Raise ModelUnreadable if nothing here reads a single file of that kind."""
    name = file.path.rpartition("/")[2]
    if kind.refusal:
        raise ModelUnreadable(f"The file {name} cannot be used. {kind.refusal}", "Choose another one.")
    if kind.is_checkpoint or kind.alone or kind.controlnet is not None or kind.name in checkpoints.ADDITIONS:
        return
    if kind.name or file.size > _LARGEST_UNKNOWN:  # a small unknown file may be an upscaler, which the engine tells
        what = f"it is {kind.name}" if kind.name else "it holds no model of a kind that is known here"
        raise ModelUnreadable(f"The file {name} cannot be used: {what}.", "Choose another one.")


# ---- one file ------------------------------------------------------------------------------------------------------


def _one_file(repo: str, there: dict[str, RemoteFile], wanted: str) -> Choice:
    """Choose the file and, for an IP-Adapter, the image encoder where `engine.conditioning.reference` looks for it."""
    if wanted.lower().endswith(PICKLES):
        raise ModelUnreadable(f"The file {wanted} is a pickle file, which could run any program when opened.",
                              _SAFE_REMEDY)
    if wanted not in there or not wanted.lower().endswith(SUFFIX):
        names = [path for path in there if path.lower().endswith(SUFFIX)]
        raise ModelNotFound(f"The repository {repo} has no safetensors file {wanted}.",
                            f"There is: {_some(names)}." if names else "")
    folder, _, name = wanted.rpartition("/")
    key = wanted if name != _NAMELESS else f"{folder}/{repo.rpartition('/')[2]}{SUFFIX}".lstrip("/")
    above = folder.rpartition("/")[0]
    encoder: dict[str, RemoteFile] = {}
    for place in (folder, above, f"{above}/models"):
        prefix = f"{place}/{ENCODER}/".lstrip("/")
        if prefix + CONFIG in there:
            encoder = _part(there, prefix, "")
            break
    return Choice({**encoder, **_notices(there), key: there[wanted]}, key, True)


# ---- a model in parts ----------------------------------------------------------------------------------------------


def _pipeline(there: dict[str, RemoteFile], index: dict[str, Any]) -> Choice:
    model_parts.check_index(index)
    parts = [f"{name}/" for name, entry in index.items()
             if isinstance(entry, list) and len(entry) == 2 and entry[0] is not None]
    variant = _variant_of([variants for part in parts if (variants := _variants(there, part))])
    files = {INDEX: there[INDEX], **_notices(there)}
    for part in parts:
        files |= _part(there, part, variant)
    return Choice(files, INDEX, False)


def _names(there: dict[str, RemoteFile], part: str) -> list[str]:
    """Return the names of the files directly in the folder `part` ("" or ending with "/")."""
    return [path[len(part):] for path in there if path.startswith(part) and "/" not in path[len(part):]]


def _variants(there: dict[str, RemoteFile], part: str) -> set[str]:
    """Return the variants of the part's weights; "" is the plain one."""
    return {match.group(1) or "" for name in _names(there, part) if (match := model_parts.WEIGHTS.fullmatch(name))}


def _variant_of(parts: list[set[str]]) -> str:
    """Return the half-size variant that most parts have, since diffusers takes one name for all; "" if none has one."""
    counts = Counter(variant for variants in parts for variant in variants if variant in _HALVES)
    return max(_HALVES, key=lambda variant: counts[variant]) if counts else ""


def _part(there: dict[str, RemoteFile], part: str, variant: str) -> dict[str, RemoteFile]:
    """Choose the files of one part: its configs and one set of weights, of `variant` if it has that."""
    names, variants = _names(there, part), _variants(there, part)
    if not names:
        raise ModelUnreadable(f"The repository lacks the model's part '{part.strip('/')}'.", "Choose another one.")
    if not variants and any(name.lower().endswith(PICKLES) for name in names):
        whose = f"The model's part '{part.strip('/')}'" if part else "The repository"
        raise ModelUnreadable(f"{whose} has only pickle files, which could run any program when opened.", _SAFE_REMEDY)
    usable = [name for name in (variant, "", *_HALVES) if name in variants]
    if variants and not usable:
        raise ModelUnreadable(f"The model's part '{part.strip('/')}' comes in no precision that can be used here.",
                              "Choose another one.",
                              repr(variants))
    weights = {name for name in names
               if (match := model_parts.WEIGHTS.fullmatch(name)) and (match.group(1) or "") == usable[0]}
    if sharded := {name for name in weights if "-of-" in name}:
        weights = sharded if weights == sharded else weights - sharded  # a whole file has the same weights again
    kept = [name for name in names if name in weights or _is_text(part, name) or (
        sharded and weights == sharded and (match := _SHARDS.fullmatch(name)) and (match.group(1) or "") == usable[0])]
    return {part + name: there[part + name] for name in kept}


def _is_text(part: str, name: str) -> bool:
    return name.endswith(_TEXTS) and ".index." not in name if part else name == CONFIG
