"""Find the models in the model folders, and read what each needs from its small JSON files or its header.

No weights are loaded.

A folder in diffusers format has `model_index.json` and one folder for each part. Beside it, a `blender_sd.json` may
give its maker's recommendations: {"name": …, "size": 512 or [width, height], "steps": …, "guidance": …, "sampler": …,
"text": one line}, and its licence (see `library.licences`).
"""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..core.choices import NOTHING
from ..core.errors import ModelNotFound, ModelUnreadable, SDError
from ..core.families import family_of
from ..core.names import name_key, suggestion
from ..core.tasks import TEXT_TO_IMAGE
from . import marigold, model_choices, model_parts
from ..core.nets import STARTER, VAE_PART
from .checkpoints import CONFIGS, GGUF, PICKLES, STARTER_FOLDER, SUFFIX, Kind
from .model_folders import (
    INDEX, few_steps_at, files_in, full_path, kind_at, name_of, places, read_json, refuse_elsewhere,
)
from .model_info import ModelInfo, read_model, suited

log = logging.getLogger("blender_sd")

_MIN_PICKLE = 100 << 20  # bytes; smaller ones are no models
_SINGLE_FILES = (SUFFIX, GGUF, *PICKLES)


@dataclass(frozen=True)
class Unusable:
    """What lies in the model folders and cannot be used: its `name`, its `place`, and the `reason`, in words."""

    name: str
    place: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """The `models` of the model folders, what looks like one and cannot be used, and Marigold's weights."""

    models: list[ModelInfo]
    unusable: list[Unusable]
    marigold: list[marigold.Weights]


def find_models(folders: Iterable[str]) -> list[ModelInfo]:
    """The starter model, where it is installed, and every usable model in `folders` or below. Each is listed once, the
    starter first, the others by name."""
    return survey(folders).models


def survey(folders: Iterable[str]) -> Survey:
    """What is in `folders` or below: models that load, and those that do not, with the reason."""
    folders = list(folders)
    found: dict[str, ModelInfo] = {}
    lenders: list[ModelInfo] = []
    unusable: list[Unusable] = []
    estimators: list[marigold.Weights] = []

    def refuse(place: str, error: SDError) -> None:
        log.warning("%s %s", error, error.detail)
        unusable.append(
            Unusable(name_of(place) if os.path.isdir(place) else os.path.basename(place), place, error.message))

    for place in (STARTER_FOLDER, *(place for folder in folders for place in places(full_path(folder), leaf=INDEX))):
        real = os.path.realpath(place)
        if real in found or not os.path.isfile(os.path.join(place, INDEX)):
            continue
        try:
            if weights := marigold.weights_at(place):
                estimators.append(weights)
                continue
            model = _chosen_for(read_model(place), folders)
            if model.id != STARTER:
                lenders.append(model)
            _check_parts(model)
            found[real] = model
        except ModelNotFound as error:
            log.info("%s", error)  # another kind of folder
        except ModelUnreadable as error:
            refuse(place, error)
    _survey_files(folders, lenders, found, refuse)
    return Survey(sorted(found.values(), key=lambda model: (model.id != STARTER, model.name.casefold(), model.folder)),
                  unusable, estimators)


def _survey_files(folders: list[str], lenders: list[ModelInfo], found: dict[str, ModelInfo],
                  refuse: Callable[[str, SDError], None]) -> None:
    """Adds the models in one file to `found`: whole ones first, since these lend to others."""
    files = [(file, kind) for file in files_in(folders, SUFFIX, GGUF) if (kind := kind_at(file)) is not None and (
        kind.is_checkpoint or kind.alone and not _is_part(file))]
    for file, _ in sorted(files, key=lambda one: (bool(one[1].lacks), one[1].alone)):
        real = os.path.realpath(file)
        if real in found:
            continue
        try:
            found[real] = _chosen_for(read_checkpoint(file, lenders), folders)
        except (ModelNotFound, ModelUnreadable) as error:
            refuse(file, error)
        else:
            if not found[real].base_model and not found[real].lacks:
                lenders.append(found[real])
    for file in files_in(folders, *PICKLES):
        if os.path.getsize(file) > _MIN_PICKLE and not os.path.isfile(os.path.join(os.path.dirname(file),
                                                                                   "config.json")):
            refuse(file, ModelUnreadable("It is a pickle file, which could run any program when opened."))


def _chosen_for(info: ModelInfo, folders: Iterable[str]) -> ModelInfo:
    """`info` with what a person has chosen for the model."""
    if info.id == STARTER:
        return info
    choices, problem = model_choices.safely(info.id, folders)
    if problem:
        log.warning("%s", problem)
    return replace(info, choices=choices,
                   lacks=tuple(part for part in info.lacks if part != VAE_PART or not choices.vae))


def _check_parts(info: ModelInfo) -> None:
    """Raises ModelUnreadable where a part of the model's folder is missing or broken."""
    index = read_json(info.folder, INDEX)
    lent = ("vae",) if info.choices.vae else ()
    model_parts.check_index(index, lent)
    model_parts.check_parts(info.folder, model_parts.components(info.folder, index), lent)


def resolve_model(name_or_path: str, folders: Iterable[str]) -> ModelInfo:
    """Return the model that a person means.

    Of several models of one name the first listed is meant. Raises ModelNotFound (the hint lists what there is) and
    ModelUnreadable.
    """
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    if wanted.lower() == STARTER:
        return read_model(STARTER_FOLDER)
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.basename(path) == INDEX:
        path = os.path.dirname(path)
    if wanted and os.path.isfile(path) and path.lower().endswith(_SINGLE_FILES):
        return _chosen_for(read_checkpoint(path, _lenders(folders)), folders)
    if wanted and os.path.isfile(os.path.join(path, INDEX)):
        return _chosen_for(read_model(path), folders)
    models = find_models(folders)
    for model in models:
        if wanted and name_key(model.name) == name_key(wanted):
            return model
    hint = suggestion(wanted, (model.name for model in models),
                      "Name a folder in diffusers format in the add-on's preferences.")
    if wanted and os.path.isdir(path):
        raise ModelNotFound(f"The folder {path} holds no model: it has no {INDEX}.", hint)
    raise ModelNotFound(f"There is no model called '{wanted:.200}'.", hint)


def _lenders(folders: list[str]) -> list[ModelInfo]:
    """The models that parts can be taken from: those in diffusers format, also without the denoiser's weights, and
    whole files."""
    found = []
    for folder in folders:
        for place in places(full_path(folder), leaf=INDEX):
            try:
                found += [read_model(place)] if os.path.isfile(os.path.join(place, INDEX)) else []
            except (ModelNotFound, ModelUnreadable) as error:
                log.info("%s", error)
    return found + [
        info for info in find_models(folders) if os.path.isfile(info.folder) and not info.base_model and not info.lacks]


def read_checkpoint(file: str, others: Iterable[ModelInfo] = ()) -> ModelInfo:
    """What the model in the single file `file` is and wants; what it lacks, such as all but the transformer, it takes
    from one of `others`. Raises ModelUnreadable for files that are none, ModelNotFound where there is none to take a
    transformer's other parts from."""
    file = os.path.abspath(file)
    name = os.path.basename(file)
    if file.lower().endswith(PICKLES):
        raise ModelUnreadable(f"The file {name} is a pickle file, which could run any program when opened.",
                              "Get its safetensors version.")
    kind = kind_at(file) if file.lower().endswith((SUFFIX, GGUF)) else None
    if kind is not None and kind.refusal:
        raise ModelUnreadable(f"The file {name} cannot be used. {kind.refusal}", "Choose another model.")
    if kind is not None and kind.alone:
        owner = _owner(kind, others)
        if owner is None:
            raise ModelNotFound(f"The file {name} is {kind.name}'s transformer alone, and no model folder holds its "
                                "other parts.",
                                f"Put {kind.name} in diffusers format into a model folder: its text encoders, VAE, "
                                "scheduler and the configs; the transformer's own weights are not needed.")
        return replace(owner, id=file, folder=file, name=os.path.splitext(name)[0],
                       text=f"With all other parts of {owner.name}", base_model=owner.folder, choices=NOTHING)
    if kind is None or not kind.is_checkpoint:
        what = f"it is {kind.name}" if kind is not None and kind.name else "it cannot be read"
        raise ModelUnreadable(f"The file {name} is no model of SD 1.5, SD 2 or SDXL: {what}.",
                              "Choose a checkpoint of SD 1.5, SD 2 or SDXL as .safetensors, or a folder in diffusers "
                              "format.")
    info = suited(_of_channels(read_model(os.path.join(CONFIGS, kind.name)), kind), few := few_steps_at(file))
    side = few.side if few is not None and few.side else info.default_width
    info = replace(info, id=file, folder=file, name=os.path.splitext(name)[0], default_width=side, default_height=side,
                   lacks=kind.lacks)
    lender = min(
        (one for one in others if kind.lacks and one.abilities.name == info.abilities.name.removesuffix(" Inpaint")),
        default=None, key=lambda one: (os.path.isfile(one.folder), one.name))
    if lender is None:
        return info
    return replace(info, base_model=lender.folder, lacks=(),
                   text=f"With the {' and '.join(kind.lacks)} of {lender.name}")


def _of_channels(info: ModelInfo, kind: Kind) -> ModelInfo:
    """`info`, of the family's usual member, as that of an inpainting one where its denoiser sees the mask."""
    if kind.channels != 9:
        return info
    return replace(
        info,
        abilities=family_of(read_json(os.path.join(CONFIGS, kind.name), INDEX)["_class_name"], {"in_channels": 9}))


def _is_part(file: str) -> bool:
    """Return whether the file is part of a folder in diffusers format."""
    return os.path.isfile(os.path.join(os.path.dirname(file), "config.json"))


def _owner(kind: Kind, models: Iterable[ModelInfo]) -> ModelInfo | None:
    """Return the model whose parts fit a transformer of this kind, or None.

    If the file does not tell which member of its family it is, a model that paints from text comes before those that
    inpaint or edit.
    """
    return min((model for model in models if _goes_with(model, kind)), default=None,
               key=lambda model: (TEXT_TO_IMAGE not in model.abilities.tasks, model.abilities.edits, model.name))


def _goes_with(model: ModelInfo, kind: Kind) -> bool:
    name = model.abilities.name
    if not (name == kind.name or name.startswith((f"{kind.name} ", f"{kind.name}-"))):
        return False
    if model.base_model or not os.path.isdir(model.folder):
        return False
    try:
        config = read_json(model.folder, "transformer", "config.json")
    except ModelUnreadable as error:
        log.info("%s %s", error, error.detail)
        return False
    layers = next((config[name] for name in ("num_layers", "n_layers") if type(config.get(name)) is int), 0)
    if kind.depth and layers and kind.depth != layers:
        return False  # a larger or smaller member of the family
    channels = config.get("in_channels")
    fits = type(channels) is int and kind.channels in (channels, channels * 4)  # with or without 2 × 2 patches
    return (kind.channels == 0 or fits) and bool(config.get("guidance_embeds")) == kind.guided
