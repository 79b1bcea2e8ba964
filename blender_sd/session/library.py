"""The model folders: what is there and what each model wants, read from their small JSON files, and from the headers of
models in a single file. Loads no weights.

A folder in diffusers format holds `model_index.json` and one folder for each part. Beside it a `blender_sd.json` may say
what its maker recommends: {"name": …, "size": 512 or [width, height], "steps": …, "guidance": …, "sampler": …, "text": one line}, and
its licence (`protocol.cards`).
"""
from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..protocol import few_steps
from ..protocol.cards import OWN
from ..protocol.checkpoints import CONFIGS, GGUF, PICKLES, STARTER, STARTER_FOLDER, SUFFIX, UPSCALER_PIPELINES, Kind
from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from ..protocol.families import Family, family_of
from ..protocol.few_steps import FewSteps
from ..protocol.request import MAX_SIDE, MIN_SIDE, TEXT_TO_IMAGE, Request, round_size
from .folders import INDEX, few_steps_at, files_in, full_path, kind_at, name_of, places, read_json, refuse_elsewhere, unreadable

log = logging.getLogger("blender_sd")

_SCHEDULER = ("scheduler", "scheduler_config.json")
_SINGLE_FILES = (SUFFIX, GGUF, *PICKLES)


@dataclass(frozen=True)
class ModelInfo:
    """One model. `id` is what `Request.model` takes: "starter" or the folder's path. `abilities`: what it can do. Both sides of a
    picture are multiples of `multiple` pixels. The defaults are what the model works best with; `text` is one line on it.
    `few_steps`: what kind of few-step model it is (`protocol.few_steps`), "" for none. `borrowed`: of a file that holds a
    transformer alone, the folder of the model that it takes all other parts from."""

    id: str
    name: str
    folder: str
    abilities: Family
    multiple: int
    default_width: int
    default_height: int
    steps: int
    guidance: float
    sampler: str
    text: str
    few_steps: str = ""
    borrowed: str = ""

    @property
    def family(self) -> str:
        """What its family is called."""
        return self.abilities.name


def find_models(folders: Iterable[str]) -> list[ModelInfo]:
    """The starter model, where it is installed, and every readable model in `folders` or up to two levels below.

    Each model is listed once, the starter first, the others by name. Unreadable ones are logged and left out.
    """
    found: dict[str, ModelInfo] = {}
    for place in (STARTER_FOLDER, *(place for folder in folders for place in places(full_path(folder), leaf=INDEX))):
        real = os.path.realpath(place)
        if real in found or not os.path.isfile(os.path.join(place, INDEX)):
            continue
        try:
            found[real] = read_model(place)
        except ModelNotFound as error:
            log.info("%s", error)  # another kind of folder
        except ModelUnreadable as error:
            log.warning("%s %s", error, error.detail)
    owners = [model for model in found.values() if model.id != STARTER]
    for file in files_in(folders, SUFFIX, GGUF):
        kind = kind_at(file)
        if kind is not None and (kind.is_checkpoint or kind.alone and not _is_part(file) and _owner(kind, owners) is not None):
            found.setdefault(os.path.realpath(file), read_checkpoint(file, owners))
    return sorted(found.values(), key=lambda model: (model.id != STARTER, model.name.casefold(), model.folder))


def resolve_model(name_or_path: str, folders: Iterable[str]) -> ModelInfo:
    """The model that a person means: "starter", a model folder's path, or a model's name as `find_models` lists it.

    Raises ModelNotFound (the hint lists what there is) and ModelUnreadable.
    """
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    if wanted.lower() == STARTER:
        return read_model(STARTER_FOLDER)
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.basename(path) == INDEX:
        path = os.path.dirname(path)
    if wanted and os.path.isfile(path) and path.lower().endswith(_SINGLE_FILES):
        return read_checkpoint(path, find_models(folders))
    if wanted and os.path.isfile(os.path.join(path, INDEX)):
        return read_model(path)
    models = find_models(folders)
    for model in models:
        if wanted and model.name.casefold() == wanted.casefold():
            return model
    names = ", ".join(model.name for model in models[:12]) + (", …" if len(models) > 12 else "")
    hint = f"There is: {names}." if models else "Name a folder in diffusers format in the add-on's preferences."
    if wanted and os.path.isdir(path):
        raise ModelNotFound(f"The folder {path} holds no model: it has no {INDEX}.", hint)
    raise ModelNotFound(f"There is no model called '{wanted:.200}'.", hint)


def read_checkpoint(file: str, others: Iterable[ModelInfo] = ()) -> ModelInfo:
    """What the model in the single file `file` is and wants; a transformer alone takes its other parts from one of `others`.
    Raises ModelUnreadable for files that are none, ModelNotFound where there is none to take them from."""
    file = os.path.abspath(file)
    name = os.path.basename(file)
    if file.lower().endswith(PICKLES):
        raise ModelUnreadable(f"The file {name} is a pickle file, which could run any program when opened.", "Get its safetensors version.")
    kind = kind_at(file) if file.lower().endswith((SUFFIX, GGUF)) else None
    if kind is not None and kind.alone:
        owner = _owner(kind, others)
        if owner is None:
            raise ModelNotFound(f"The file {name} is {kind.name}'s transformer alone, and no model folder holds its other parts.",
                                f"Put {kind.name} in diffusers format into a model folder: its text encoders, VAE, scheduler and the "
                                "configs; the transformer's own weights are not needed.")
        return replace(owner, id=file, folder=file, name=os.path.splitext(name)[0], text=f"With all other parts of {owner.name}",
                       borrowed=owner.folder)
    if kind is None or not kind.is_checkpoint:
        what = f"it is {kind.name}" if kind is not None and kind.name else "it cannot be read"
        raise ModelUnreadable(f"The file {name} is no whole model of SD 1.5 or SDXL: {what}.",
                              "Choose a checkpoint of SD 1.5 or SDXL as .safetensors, or a folder in diffusers format.")
    info = _suited(read_model(os.path.join(CONFIGS, kind.name)), few := few_steps_at(file))
    side = few.side if few is not None and few.side else info.default_width
    return replace(info, id=file, folder=file, name=os.path.splitext(name)[0], default_width=side, default_height=side)


def _is_part(file: str) -> bool:
    """Whether it is of a folder in diffusers format, such as a transformer's own."""
    return os.path.isfile(os.path.join(os.path.dirname(file), "config.json"))


def _owner(kind: Kind, models: Iterable[ModelInfo]) -> ModelInfo | None:
    """Of `models`, the one whose parts go with a transformer of this kind. Where the file does not tell which member of its
    family it is, one that paints from words comes before those that inpaint or edit."""
    return min((model for model in models if _goes_with(model, kind)), default=None,
               key=lambda model: (TEXT_TO_IMAGE not in model.abilities.tasks, model.abilities.edits, model.name))


def _goes_with(model: ModelInfo, kind: Kind) -> bool:
    name = model.abilities.name
    if model.borrowed or not os.path.isdir(model.folder) or not (name == kind.name or name.startswith((f"{kind.name} ", f"{kind.name}-"))):
        return False
    try:
        config = read_json(model.folder, "transformer", "config.json")
    except ModelUnreadable as error:
        log.info("%s %s", error, error.detail)
        return False
    channels = config.get("in_channels")
    fits = type(channels) is int and kind.channels in (channels, channels * 4)  # in 2 × 2 patches, or not
    return (kind.channels == 0 or fits) and bool(config.get("guidance_embeds")) == kind.guided


def read_model(folder: str) -> ModelInfo:
    """What the model in `folder` is and wants. Raises ModelNotFound where no model is there, ModelUnreadable where its
    files are broken."""
    folder = os.path.abspath(folder)
    is_starter = os.path.realpath(folder) == os.path.realpath(STARTER_FOLDER)
    if not os.path.isfile(os.path.join(folder, INDEX)):
        if is_starter:
            raise ModelNotFound("The starter model is not installed.", "Install the add-on again, or choose another model.")
        raise ModelNotFound(f"The folder {folder} holds no model: it has no {INDEX}.", "Choose a folder in diffusers format.")
    index = read_json(folder, INDEX)
    kind = index.get("_class_name")
    if not isinstance(kind, str) or not kind:
        raise unreadable(folder, INDEX, "_class_name is missing")
    if kind in UPSCALER_PIPELINES:
        raise ModelNotFound(f"The folder {folder} holds an upscaler, which cannot paint by itself.",
                            "Choose another model, and this one as the upscaler.")
    unet = _part(folder, index, "unet")
    transformer = _part(folder, index, "transformer")
    vae = _part(folder, index, "vae")
    scheduler = read_json(folder, *_SCHEDULER) if os.path.isfile(os.path.join(folder, *_SCHEDULER)) else None
    family = family_of(kind, unet, transformer, scheduler, index.get("is_distilled") is True)
    scale = _vae_scale(folder, vae)
    multiple = _multiple(folder, scale, family, unet, transformer)
    side = _default_side(family, unet, scale)
    info = ModelInfo(
        id=STARTER if is_starter else folder, name=name_of(folder), folder=folder, abilities=family, multiple=multiple,
        default_width=side, default_height=side, steps=family.steps, guidance=family.guidance, sampler=family.sampler, text="")
    info = _recommended(_suited(info, few_steps.configured(
        info.name, bool(unet) and type(unet.get("time_cond_proj_dim")) is int, *_scheduler(scheduler or {}))))
    width, height = round_size(info.default_width, info.default_height, multiple)
    return replace(info, default_width=width, default_height=height)


# ---- files ---------------------------------------------------------------------------------------------------------


def _part(folder: str, index: dict, part: str) -> dict | None:
    """The config of a part that the index names; None where the model has no such part."""
    entry = index.get(part)
    named = isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)
    return read_json(folder, part, "config.json") if named else None


def _scheduler(config: dict) -> tuple[str, bool]:
    """The class of the model's scheduler, and whether its steps begin at the last timestep because the model was made for few: others
    that do were trained down to no signal at all."""
    kind = config.get("_class_name")
    trailing = config.get("timestep_spacing") == "trailing" and config.get("prediction_type", "epsilon") == "epsilon"
    return kind if isinstance(kind, str) else "", trailing and not config.get("rescale_betas_zero_snr")


# ---- what the model wants --------------------------------------------------------------------------------------------


def _levels(folder: str, part: str, config: dict, *keys: str) -> int:
    """How many resolutions a net has, from the first of `keys` that its config holds."""
    for key in keys:
        channels = config.get(key)
        if channels is not None:
            if not isinstance(channels, list) or not 1 <= len(channels) <= 8:
                raise unreadable(folder, f"{part}/config.json", f"{key} is {channels!r:.80}")
            return len(channels)
    return 0


def _vae_scale(folder: str, vae: dict | None) -> int:
    """Pixels per latent pixel and side, counted as diffusers' pipelines do."""
    if vae is None:
        return 8
    if vae.get("temperal_downsample") is not None:
        return 2 ** _levels(folder, "vae", vae, "temperal_downsample")
    levels = _levels(folder, "vae", vae, "block_out_channels", "encoder_block_out_channels", "down_block_out_channels")
    return 2 ** (levels - 1) if levels else 8


def _multiple(folder: str, scale: int, family: Family, unet: dict | None, transformer: dict | None) -> int:
    """The pixels of which both sides must be multiples.

    A UNet halves its latents between its levels; diffusers can pad odd sizes, but then circular padding no longer
    meets itself, so that tiling needs sizes which halve evenly. Its pipelines ask for multiples of 8 in any case.
    """
    if unet is not None:
        return math.lcm(8, scale * 2 ** max(0, _levels(folder, "unet", unet, "block_out_channels") - 1))
    patch = family.packing or (transformer or {}).get("patch_size", 1)
    if type(patch) is not int or not 1 <= patch <= 16:
        raise unreadable(folder, "transformer/config.json", f"patch_size is {patch!r:.80}")
    return scale * patch if scale >= 16 else scale * max(2, patch)


def _default_side(family: Family, unet: dict | None, scale: int) -> int:
    sample = (unet or {}).get("sample_size")
    if type(sample) is int and MIN_SIDE <= sample * scale <= MAX_SIDE:
        return sample * scale
    return family.side


def _suited(info: ModelInfo, few: FewSteps | None) -> ModelInfo:
    """`info` with what suits the few-step model that it is."""
    if few is None:
        return info
    return replace(info, few_steps=few.name, steps=few.steps, guidance=few.guidance, sampler=few.sampler)


def _recommended(info: ModelInfo) -> ModelInfo:
    """`info` with what the folder's own `blender_sd.json` says, where there is one; unknown keys are left alone."""
    if not os.path.isfile(os.path.join(info.folder, OWN)):
        return info
    own = read_json(info.folder, OWN)
    size = own.get("size", [info.default_width, info.default_height])
    width, height = size if isinstance(size, list) and len(size) == 2 else (size, size)
    try:
        checked = Request(
            width=width, height=height, steps=own.get("steps", info.steps), guidance=own.get("guidance", info.guidance),
            sampler=own.get("sampler", info.sampler))
    except InvalidRequest as error:
        raise unreadable(info.folder, OWN, str(error)) from error
    name, text = own.get("name", info.name), own.get("text", info.text)
    if not isinstance(name, str) or not isinstance(text, str) or not name.strip():
        raise unreadable(info.folder, OWN, "name and text must be text")
    return replace(
        info, name=_line(name, 80), text=_line(text, 300), default_width=checked.width, default_height=checked.height,
        steps=checked.steps, guidance=checked.guidance, sampler=checked.sampler)


def _line(text: str, longest: int) -> str:
    return " ".join(text.split())[:longest]
