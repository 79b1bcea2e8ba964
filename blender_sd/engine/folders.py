"""What a model folder in diffusers format holds, read without loading it."""
from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
from safetensors import SafetensorError, safe_open

from ..protocol.checkpoints import PICKLES
from ..protocol.errors import ModelNotFound, ModelUnreadable
from ..protocol.hub import name_of
from . import single_file

_SAFE_REMEDY = "Get its safetensors version, or convert it with diffusers' save_pretrained(safe_serialization=True)."
_ANEW = "Download the model again."


@dataclass(frozen=True)
class Folder:
    """A model folder that passed the checks. `components`: name -> (library, class); `absent`: those that the model
    does without by intent, such as a safety checker. `fp32_parts`: what the weights of each part take in fp32, in bytes.
    `variant`: "" or such as "fp16". `stamp` changes with the files. `borrowed`: of a file with a transformer alone, the folder that
    its other parts are in."""

    path: Path
    pipeline: str
    components: dict[str, tuple[str, str]]
    absent: tuple[str, ...]
    fp32_parts: tuple[int, ...]
    variant: str
    stamp: tuple
    borrowed: Path | None = None

    @property
    def name(self) -> str:
        """What a person calls the model."""
        return self.path.stem if self.path.is_file() else name_of(str(self.path))

    @property
    def fp32_bytes(self) -> int:
        """What all weights take in fp32."""
        return sum(self.fp32_parts)


def inspect_folder(path: Path, borrowed: Path | None = None) -> Folder:
    """Checks the model folder, or the model's single file, at `path`; `borrowed`: as in `messages.Generate`. Raises ModelNotFound or
    ModelUnreadable.

    Weights are taken from safetensors files only: pickles can run any program when they are opened.
    """
    if path.is_file() and borrowed is not None and borrowed.is_dir():
        return _completed(path, inspect_folder(borrowed))
    if path.is_file():
        return _inspected_file(path, ((path.name, path.stat().st_mtime_ns, path.stat().st_size),))
    if not path.is_dir():
        raise ModelNotFound(f"There is no model folder at {path}.", "Choose another model.")
    return _inspected(path, _stamp(path))


@functools.lru_cache(maxsize=32)
def _inspected(path: Path, stamp: tuple) -> Folder:
    """The checks themselves; they are done again only when `stamp` says that the files have changed."""
    index = _index(path)
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or not hasattr(diffusers, pipeline):
        raise ModelUnreadable(f"The model asks for a pipeline that diffusers does not have: {pipeline}.",
                              "Code inside model folders is never run; choose a model of a known family.")
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    components = {name: (str(entry[0]), str(entry[1])) for name, entry in parts.items() if entry[0] is not None}
    for name, (library, class_name) in components.items():
        if library not in ("diffusers", "transformers") and not hasattr(diffusers.pipelines, library):
            raise ModelUnreadable(f"The model's part '{name}' asks for foreign code: {library}.{class_name}",
                                  "Code inside model folders is never run; choose a model of a known family.")
        if not (path / name).is_dir():
            raise ModelUnreadable(f"The model's part '{name}' is missing: {path / name}", _ANEW)
    sizes = tuple(sum(map(_fp32_bytes, _weights(path, name))) for name in components)
    return Folder(path, pipeline, components, tuple(parts.keys() - components.keys()), sizes,
                  _variant(path, components), stamp)


def _completed(path: Path, others: Folder) -> Folder:
    """A transformer alone, as the folder that it would be with the parts of `others`."""
    single_file.kind_of(path, alone=True)
    stat = path.stat()
    sizes = [size for name, size in zip(others.components, others.fp32_parts, strict=True) if name != single_file.PART]
    return replace(others, path=path, borrowed=others.path, fp32_parts=(*sizes, single_file.part_bytes(path)),
                   stamp=(path.name, stat.st_mtime_ns, stat.st_size, *others.stamp))


@functools.lru_cache(maxsize=32)
def _inspected_file(path: Path, stamp: tuple) -> Folder:
    """A model in one file, as the folder that it would be."""
    index = single_file.index_of(single_file.kind_of(path))
    parts = {name: tuple(entry) for name, entry in index.items() if isinstance(entry, list) and entry[0] is not None}
    return Folder(path, index["_class_name"], parts, (), single_file.fp32_bytes(path), "", stamp)


def _index(path: Path) -> dict[str, Any]:
    file = path / "model_index.json"
    if not file.is_file():
        if any(path.glob("*.safetensors")) or any(path.glob("*.ckpt")):
            raise ModelUnreadable(f"The folder {path.name} holds single-file checkpoints and is no model itself.",
                                  "Choose one of its files.")
        raise ModelNotFound(f"There is no model in {path}: model_index.json is missing.", "Choose a folder in diffusers format.")
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The model's model_index.json cannot be read: {file}", _ANEW, repr(error)) from None
    if not isinstance(index, dict):
        raise ModelUnreadable(f"The model's model_index.json is no model description: {file}", _ANEW)
    return index


def _weights(path: Path, name: str) -> list[Path]:
    """The weight files of one component that will be loaded; refuses a component that has pickles only."""
    files = sorted((path / name).glob("*.safetensors"))
    if not files and any(file.suffix in PICKLES for file in (path / name).glob("*")):
        raise ModelUnreadable(f"The model's part '{name}' has only pickle files, which could run any program when opened.", _SAFE_REMEDY)
    return [file for file in files if "." not in file.stem] or files  # a dot in the stem marks a variant of the same weights


def _variant(path: Path, components: dict[str, tuple[str, str]]) -> str:
    """"fp16" (or the like) where some component exists only as such: diffusers must be told."""
    for name in components:
        stems = [file.stem.split(".") for file in (path / name).glob("*.safetensors")]
        if stems and all(len(parts) > 1 for parts in stems):
            return stems[0][1].split("-")[0]  # model.fp16, or model.fp16-00001-of-00002
    return ""


def _fp32_bytes(file: Path) -> int:
    """What the file's weights take in fp32. Opening it also shows whether it is whole."""
    try:
        with safe_open(file, framework="pt") as tensors:
            count = 0
            for name in tensors.keys():
                size = 1
                for side in tensors.get_slice(name).get_shape():
                    size *= side
                count += size
            return 4 * count
    except (SafetensorError, OSError) as error:
        raise ModelUnreadable(f"The model's file {file.parent.name}/{file.name} is broken or incomplete.", _ANEW, repr(error)) from None


def _stamp(path: Path) -> tuple:
    files = sorted(file for pattern in ("*.json", "*/*") for file in path.glob(pattern) if file.is_file())
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
