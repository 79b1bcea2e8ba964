"""What a model folder in diffusers format holds, found without loading it."""
from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
from safetensors import SafetensorError, safe_open

from ...core.choices import NOTHING, Choices
from ...core.errors import ModelNotFound, ModelUnreadable
from ...core.hub import name_of
from ...library import model_parts
from ...core.nets import VAE_PART, WORDS_PART
from ...library.checkpoints import PICKLES
from . import inspection, single_file

_SAFE_REMEDY = "Get its safetensors version, or convert it with diffusers' save_pretrained(safe_serialization=True)."
_ANEW = "Download the model again."
_LENT = ("vae",)  # parts that another model or a person's choice may stand in for
_VARIANTS = ("bf16", "fp16", "fp32", "non_ema")  # the better one first


@dataclass(frozen=True)
class Folder:
    """A model folder that passed the checks.

    Attributes:
        components: (library, class) of each part by name.
        absent: Parts that the model intentionally lacks, such as a safety checker.
        fp32_parts: Size of each part's weights in fp32, in bytes.
        variants: The variant, such as "fp16", of each part that exists in one variant only.
        stamp: Changes with the files and the choices.
        base_model: For a file with only a transformer, the folder with its other parts; for a checkpoint that lacks
            parts, the model that lends them.
        choices: The person's choices for this model.
    """

    path: Path
    pipeline: str
    components: dict[str, tuple[str, str]]
    absent: tuple[str, ...]
    fp32_parts: tuple[int, ...]
    variants: dict[str, str]
    stamp: tuple
    base_model: Path | None = None
    choices: Choices = NOTHING

    @property
    def name(self) -> str:
        """Return what a person calls the model."""
        return self.path.stem if self.path.is_file() else name_of(str(self.path))

    @property
    def fp32_bytes(self) -> int:
        """Return the size of all weights in fp32."""
        return sum(self.fp32_parts)


def inspect_folder(path: Path, base_model: Path | None = None, choices: Choices = NOTHING) -> Folder:
    """Check a model folder, or a model in one file.

    Weights are read from safetensors files only: pickles can run any program when they are opened.

    Args:
        path: The folder or file.
        base_model: As in `messages.Generate`.
        choices: The person's choices for this model.

    Raises:
        ModelNotFound: There is no such model.
        ModelUnreadable: It cannot be read, or must not be.
    """
    checked = _checked(path, base_model, bool(choices.vae))
    if choices == NOTHING:
        return checked
    vae = Path(choices.vae) if choices.vae else None
    if vae is not None and not vae.exists():
        raise ModelNotFound(f"There is no VAE at {vae}.", "Choose another one.")
    return replace(checked, choices=choices, stamp=(*checked.stamp, choices, *(_stamp(vae) if vae is not None else ())))


def _checked(path: Path, base_model: Path | None, has_vae: bool) -> Folder:
    if path.is_file() and base_model is not None and single_file.kind_of(path, alone=None).alone:
        return _completed(path, _inspected(base_model, _stamp(base_model)))
    if path.is_file():
        return _lent_to(_inspected_file(path, _stamp(path)), base_model, has_vae)
    if not path.is_dir():
        raise ModelNotFound(f"There is no model folder at {path}.", "Choose another model.")
    checked = _inspected(path, _stamp(path))
    lent = ("vae",) if has_vae else ()
    model_parts.check_index(_index(path), lent)
    model_parts.check_parts(str(path), checked.components, lent)
    return checked


def _lent_to(folder: Folder, lender: Path | None, has_vae: bool) -> Folder:
    """Return a checkpoint with what it lacks from the model `lender`. Raises ModelUnreadable if something is still
    missing.
    """
    kind = single_file.kind_of(folder.path)
    if not kind.lacks:
        return folder
    for part, name in ((WORDS_PART, "text_encoder"), *(() if has_vae else ((VAE_PART, "vae"),))):
        if part in kind.lacks and lender is None:
            raise single_file.lacking(kind, name)
    if lender is None:
        return folder
    others = inspect_folder(lender)
    return replace(folder, base_model=lender, stamp=(*folder.stamp, *others.stamp),
                   fp32_parts=(*folder.fp32_parts, others.fp32_bytes // 4))


@functools.lru_cache(maxsize=32)
def _inspected(path: Path, stamp: tuple) -> Folder:
    """Check a folder. The result is kept until `stamp` says that the files have changed."""
    index = _index(path)
    model_parts.check_index(index, _LENT)
    pipeline = str(index["_class_name"])
    if not _is_pipeline(pipeline):
        raise ModelUnreadable(f"The engine's version of diffusers does not have the model's pipeline: {pipeline}.",
                              "Update the engine in the add-on's preferences.")
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    components = model_parts.components(str(path), index)
    sizes = tuple(sum(map(_fp32_bytes, _weights(path, name))) for name in components)
    return Folder(path, pipeline, components, tuple(parts.keys() - components.keys()), sizes,
                  _variants(path, components), stamp)


def _is_pipeline(name: str) -> bool:
    """Return whether diffusers has a pipeline of that name."""
    cls = getattr(diffusers, name, None)
    return isinstance(cls, type) and issubclass(cls, diffusers.DiffusionPipeline)


def _completed(path: Path, others: Folder) -> Folder:
    """Return a folder for a transformer alone, with the other parts of `others`."""
    single_file.kind_of(path, alone=True)
    sizes = [size for name, size in zip(others.components, others.fp32_parts, strict=True) if name != single_file.PART]
    return replace(others, path=path, base_model=others.path, fp32_parts=(*sizes, single_file.part_bytes(path)),
                   stamp=(*_stamp(path), *others.stamp))


@functools.lru_cache(maxsize=32)
def _inspected_file(path: Path, stamp: tuple) -> Folder:
    """Return a folder for a model in one file."""
    index = single_file.index_of(single_file.kind_of(path))
    parts = {name: tuple(entry) for name, entry in index.items() if isinstance(entry, list) and entry[0] is not None}
    return Folder(path, index["_class_name"], parts, (), single_file.fp32_bytes(path), {}, stamp)


def _index(path: Path) -> dict[str, Any]:
    file = path / "model_index.json"
    if not file.is_file():
        if any(path.glob("*.safetensors")) or any(path.glob("*.ckpt")):
            raise ModelUnreadable(f"The folder {path.name} holds single-file checkpoints and is no model itself.",
                                  "Choose one of its files.")
        raise ModelNotFound(f"There is no model in {path}: model_index.json is missing.",
                            "Choose a folder in diffusers format.")
    try:
        return inspection.read_json(path, file.name)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The model's model_index.json cannot be read: {file}", _ANEW, repr(error)) from None


def _weights(path: Path, name: str) -> list[Path]:
    """Return the weight files of one component that will be loaded. Refuses a component with only pickles."""
    inspection.check(path / name)
    files = sorted((path / name).glob("*.safetensors"))
    if not files and any(file.suffix in PICKLES for file in (path / name).glob("*")):
        raise ModelUnreadable(f"The model's part '{name}' has only pickle files, which could run any program when "
                              "opened.", _SAFE_REMEDY)
    # A dot in the stem marks a variant of the same weights
    return [file for file in files if "." not in file.stem] or files


def _variants(path: Path, components: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return "fp16" (or the like) for each part that exists only as a variant, the best one of several.

    diffusers must know it.
    """
    variants = {}
    for name in components:
        stems = [file.stem.split(".") for file in (path / name).glob("*.safetensors")]
        if stems and all(len(parts) > 1 for parts in stems):
            there = {parts[1].split("-")[0] for parts in stems}  # model.fp16, or model.fp16-00001-of-00002
            variants[name] = min(there, key=lambda variant: (
                variant not in _VARIANTS, _VARIANTS.index(variant) if variant in _VARIANTS else 0, variant))
    return variants


def _fp32_bytes(file: Path) -> int:
    """Return the size of a file's weights in fp32. Opening it also shows whether it is complete."""
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
        raise ModelUnreadable(f"The model's file {file.parent.name}/{file.name} is broken or incomplete.", _ANEW,
                              repr(error)) from None


def _stamp(path: Path) -> tuple:
    if path.is_file():
        return (path.name, path.stat().st_mtime_ns, path.stat().st_size)
    files = sorted(file for pattern in ("*.json", "*/*") for file in path.glob(pattern) if file.is_file())
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
