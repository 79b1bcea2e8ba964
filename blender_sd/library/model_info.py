"""Read what one model in diffusers format is and needs, from its small JSON files. No weights are loaded."""
from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

from ..core import few_steps
from ..core.choices import NOTHING, Choices
from ..core.errors import InvalidRequest, ModelNotFound
from ..core.families import Family, family_of
from ..core.few_steps import FewSteps
from ..core.common_settings import MAX_SIDE, MIN_SIDE
from ..core.request import Request, round_size
from ..core.tasks import TextToImage
from . import own_files
from ..core.nets import STARTER
from .checkpoints import STARTER_FOLDER, UPSCALER_PIPELINES
from .licences import OWN
from .model_folders import INDEX, name_of, read_json, unreadable

_SCHEDULER = ("scheduler", "scheduler_config.json")


@dataclass(frozen=True)
class ModelInfo:
    """One model. `id` is what `Request.model` takes: "starter" or the folder's path. `abilities`: what it can do. Both
    sides of a picture are multiples of `multiple` pixels. The defaults are what the model works best with; `text` is
    one line on it. `few_steps`: what kind of few-step model it is (`core.few_steps`), "" for none. `base_model`: of a
    file that holds a transformer alone, or a checkpoint that lacks parts, the folder or file of the model that lends
    them; `lacks`: the parts that none lends. `scale`: that of its pictures from words; `upscaler`: what enlarges its
    pictures, "" for resampling. `choices`: what a person has chosen for it (`library.model_choices`)."""

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
    scale: float = 0.0
    upscaler: str = ""
    base_model: str = ""
    lacks: tuple[str, ...] = ()
    choices: Choices = NOTHING

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.abilities.name


def read_model(folder: str) -> ModelInfo:
    """Read what the model in `folder` is and needs.

    Raise ModelNotFound if it holds none, ModelUnreadable if its files are broken.
    """
    folder = os.path.abspath(folder)
    is_starter = os.path.realpath(folder) == os.path.realpath(STARTER_FOLDER)
    if not os.path.isfile(os.path.join(folder, INDEX)):
        if is_starter:
            raise ModelNotFound("The starter model is not installed.",
                                "Install the add-on again, or choose another model.")
        raise ModelNotFound(f"The folder {folder} holds no model: it has no {INDEX}.",
                            "Choose a folder in diffusers format.")
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
        default_width=side, default_height=side, steps=family.steps, guidance=family.guidance, sampler=family.sampler,
        text="")
    info = _recommended(suited(info, few_steps.configured(
        info.name, unet is not None and type(unet.get("time_cond_proj_dim")) is int, *_scheduler(scheduler or {}))))
    width, height = round_size(info.default_width, info.default_height, multiple)
    return replace(info, default_width=width, default_height=height)


# ---- files ---------------------------------------------------------------------------------------------------------


def _part(folder: str, index: dict, part: str) -> dict | None:
    """Return the config of a part that the index names, or None if the model has no such part."""
    entry = index.get(part)
    named = isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)
    return read_json(folder, part, "config.json") if named else None


def _scheduler(config: dict) -> tuple[str, bool]:
    """Return the class of the model's scheduler, and whether its steps mark a few-step model.

    They do if they begin at the last timestep, unless the model was trained down to zero signal.
    """
    kind = config.get("_class_name")
    trailing = config.get("timestep_spacing") == "trailing" and config.get("prediction_type", "epsilon") == "epsilon"
    return kind if isinstance(kind, str) else "", trailing and not config.get("rescale_betas_zero_snr")


# ---- what the model wants --------------------------------------------------------------------------------------------


def _levels(folder: str, part: str, config: dict, *keys: str) -> int:
    """Return the number of resolutions of a net, from the first of `keys` in its config; 0 if there is none."""
    for key in keys:
        channels = config.get(key)
        if channels is not None:
            if not isinstance(channels, list) or not 1 <= len(channels) <= 8:
                raise unreadable(folder, f"{part}/config.json", f"{key} is {channels!r:.80}")
            return len(channels)
    return 0


def _vae_scale(folder: str, vae: dict | None) -> int:
    """Return the number of pixels per latent pixel and side, counted as in diffusers' pipelines."""
    if vae is None:
        return 8
    if vae.get("temperal_downsample") is not None:
        return 2 ** _levels(folder, "vae", vae, "temperal_downsample")
    levels = _levels(folder, "vae", vae, "block_out_channels", "encoder_block_out_channels", "down_block_out_channels")
    return 2 ** (levels - 1) if levels else 8


def _multiple(folder: str, scale: int, family: Family, unet: dict | None, transformer: dict | None) -> int:
    """Return the number of pixels that both sides must be multiples of, as `engine.models.cache.Model.multiple`.

    A UNet halves its latents between levels, and diffusers pads odd ones. Tiling pictures have no seam there either:
    over 96 pictures of the starter each, the seam ratio is 1.00 at 64², 1.05 at 72², 1.02 at 88² and 1.07 at 104²
    (standard error 0.04).
    """
    if unet is not None:
        _levels(folder, "unet", unet, "block_out_channels")  # raises for what is none
        return math.lcm(8, scale)  # diffusers' UNet pipelines demand 8, whatever the VAE
    patch = family.packing or (transformer or {}).get("patch_size", 1)
    if type(patch) is not int or not 1 <= patch <= 16:
        raise unreadable(folder, "transformer/config.json", f"patch_size is {patch!r:.80}")
    return scale * patch if scale >= 16 else scale * max(2, patch)


def _default_side(family: Family, unet: dict | None, scale: int) -> int:
    sample = (unet or {}).get("sample_size")
    if type(sample) is int and MIN_SIDE <= sample * scale <= MAX_SIDE:
        return sample * scale
    return family.side


def suited(info: ModelInfo, few: FewSteps | None) -> ModelInfo:
    """Return `info` with the settings that suit the kind of few-step model."""
    if few is None:
        return info
    return replace(info, few_steps=few.name, steps=few.steps, guidance=few.guidance, sampler=few.sampler)


def _recommended(info: ModelInfo) -> ModelInfo:
    """Return `info` with the recommendations in the folder's own `blender_sd.json`, if it has one.

    Unknown keys are ignored.
    """
    if not own_files.has(info.folder, OWN):  # a link out of the folder could lead to private text
        return info
    own = read_json(info.folder, OWN)
    size = own.get("size", [info.default_width, info.default_height])
    width, height = size if isinstance(size, list) and len(size) == 2 else (size, size)
    try:
        checked = Request(
            width=width, height=height, steps=own.get("steps", info.steps), guidance=own.get("guidance", info.guidance),
            sampler=own.get("sampler", info.sampler))
        scale = TextToImage(scale=own.get("scale", info.scale)).scale
    except InvalidRequest as error:
        raise unreadable(info.folder, OWN, str(error)) from error
    name, text = own.get("name", info.name), own.get("text", info.text)
    if not isinstance(name, str) or not isinstance(text, str) or not name.strip():
        raise unreadable(info.folder, OWN, "name and text must be text")
    return replace(
        info, name=_line(name, 80), text=_line(text, 300), default_width=checked.width, default_height=checked.height,
        steps=checked.steps, guidance=checked.guidance, sampler=checked.sampler, scale=scale,
        upscaler=STARTER if own.get("upscaler") == STARTER else "")  # a file's maker names no other file here


def _line(text: str, longest: int) -> str:
    return " ".join(text.split())[:longest]
