"""Make a ControlNet from one file (`library.controlnet_files`).

Such a file has no settings: they come from the model that it guides, and from the shapes of its weights.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers.loaders import single_file_utils

from ...core.errors import InvalidRequest, ModelUnreadable
from ...core.families import ControlNet
from ...library.controlnet_files import LORA_MARK, PREFIX
from ...protocol.messages import text_of
from ..memory import budget
from ..models import nets, packed, weight_files
from ..models.cache import Model
from ..models.inspection import Weights
from ..models.lora_layouts import other_names

_WHAT = "ControlNet"
_LAYERS_OF_2 = 15  # of Z-Image's ControlNet from its second edition on
Tensors = dict[str, torch.Tensor]


def read(file: Path, kind: ControlNet, model: Model) -> torch.nn.Module:
    """Return the ControlNet in a file, in CPU memory.

    Args:
        file: The file.
        kind: What it is.
        model: The model that it guides.

    Raises:
        ModelUnreadable: The file is broken.
        InvalidRequest: It does not fit the model.
    """
    cls = getattr(diffusers, kind.cls)
    try:
        tensors = packed.plain(weight_files.read(file, _WHAT, named=False), model.dtype)
        tensors = {name.removeprefix(PREFIX): value for name, value in tensors.items()}
        is_lora = tensors.pop(LORA_MARK, None) is not None
        if is_lora:
            tensors = _with_encoder(tensors, model)
        settings = _settings(cls, tensors, model)
        if "input_hint_block.0.weight" in tensors:
            tensors = single_file_utils.convert_controlnet_checkpoint(tensors, settings)
        held = Weights(sum(map(torch.numel, tensors.values())), len(tensors),
                       max(max(tensor.shape, default=0) for tensor in tensors.values()))
        with nets.bounded(held), init_empty_weights(include_buffers=False):
            net = cls.from_config(settings)
        weights = {name: value.to(model.dtype) for name, value in tensors.items() if value is not None}
        net.load_state_dict(weights, strict=False, assign=True)
    except (RuntimeError, KeyError, IndexError, ValueError, TypeError) as error:
        if budget.is_out_of_memory(error):
            raise
        raise InvalidRequest(f"The ControlNet '{file.stem}' does not fit the model '{model.name}'.",
                             "Choose one that was made for the model's family.", text_of(error)) from error
    nets.check_whole(net, {}, file.name, _WHAT)
    return net.requires_grad_(False).eval()


def _settings(cls: type, tensors: Mapping[str, torch.Tensor], model: Model) -> dict[str, Any]:
    """Return the settings of a network of `cls`: the model's own where they apply, and those in the weights' shapes."""
    known = signature(cls.__init__).parameters
    settings = {name: value for name, value in model.denoiser.config.items() if name in known
                and not name.startswith("_")}
    if cls is diffusers.ZImageControlNetModel:
        return settings | _z_image_settings(tensors, model)
    return settings | (_unet_settings(tensors, settings) if not model.is_transformer
                       else _transformer_settings(tensors, known))


def _unet_settings(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> dict[str, Any]:
    ldm = "input_hint_block.0.weight" in tensors
    first, step = ("input_hint_block.0.weight", 4) if ldm else ("controlnet_cond_embedding.conv_in.weight", 2)
    block = "input_hint_block.{}.weight" if ldm else "controlnet_cond_embedding.blocks.{}.weight"
    widths, at = [tensors[first].shape[0]], 4 if ldm else 1
    last = max((int(match[1]) for name in tensors
                if (match := re.fullmatch(r"input_hint_block\.(\d{1,2})\.weight", name))), default=0)
    while block.format(at) in tensors and not (ldm and at == last):
        widths.append(tensors[block.format(at)].shape[0])
        at += step
    own: dict[str, Any] = {"conditioning_embedding_out_channels": tuple(widths),
                           "conditioning_channels": tensors[first].shape[1]}
    if "task_embedding" in tensors:
        own |= {"num_control_type": tensors["task_embedding"].shape[0],
                "num_trans_channel": tensors["task_embedding"].shape[1],
                  "num_trans_layer": _count(tensors, "transformer_layes"),
                "num_proj_channel": tensors["spatial_ch_projs.weight"].shape[0]}
        own["num_trans_head"] = 8 if own["num_trans_channel"] >= 64 else 4
    if not ldm:
        own |= _depths(tensors, settings)
    return own


def _depths(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return which blocks have attention, and how deep: small ControlNets of SDXL have less of it than its UNet."""
    layers = [max((_count(tensors, f"down_blocks.{level}.attentions.{number}.transformer_blocks")
                   for number in range(4)), default=0)
              for level in range(len(settings["down_block_types"]))]
    kinds = tuple("CrossAttnDownBlock2D" if count else "DownBlock2D" for count in layers)
    depths = settings.get("transformer_layers_per_block", 1)
    depths = depths if isinstance(depths, int) else tuple(count or own
                                                          for count, own in zip(layers, depths, strict=True))
    return {"down_block_types": kinds, "transformer_layers_per_block": depths}


def _transformer_settings(tensors: Mapping[str, torch.Tensor], known: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"num_layers": _count(tensors, "transformer_blocks"),
              "num_single_layers": _count(tensors, "single_transformer_blocks")}
    own: dict[str, Any] = {name: count for name, count in counts.items() if name in known}
    if "guidance_embeds" in known:
        own["guidance_embeds"] = any("guidance_embedder" in name for name in tensors)
    if "controlnet_mode_embedder.weight" in tensors:
        own["num_mode"] = tensors["controlnet_mode_embedder.weight"].shape[0]
    return own


def _z_image_settings(tensors: Mapping[str, torch.Tensor], model: Model) -> dict[str, Any]:
    """Return the settings of a ControlNet of Z-Image, whose layers are spread evenly over the model's.

    The three editions treat the refiner differently (see diffusers' `ZImageControlNetModel`): the first has layers of
    its own in it, 2.0 the transformer's, whatever the file holds, and 2.1 layers that also read the control picture.
    """
    count, layers = _count(tensors, "control_layers"), model.denoiser.config["n_layers"]
    every = max(1, layers // max(1, count))
    read = tensors.get("control_noise_refiner.0.before_proj.weight")
    own = read is None and count < _LAYERS_OF_2 and any(name.startswith("control_noise_refiner.") for name in tensors)
    refiner = None if own else "control_noise_refiner" if read is not None and read.any() else "control_layers"
    patch = next(int(match[1]) ** 2 * int(match[2]) for name in tensors
                 if (match := re.fullmatch(r"control_all_x_embedder\.(\d)-(\d)\.weight", name)))
    embedder = next(value for name, value in tensors.items()
                    if name.startswith("control_all_x_embedder.") and name.endswith(".weight"))
    return {"control_layers_places": [number * every for number in range(count)],
            "control_refiner_layers_places": list(range(model.denoiser.config["n_refiner_layers"])),
            "control_in_dim": embedder.shape[1] // patch, "add_control_noise_refiner": refiner}


def _count(tensors: Mapping[str, torch.Tensor], name: str) -> int:
    """Return how many numbered layers there are below `name`."""
    pattern = re.compile(re.escape(name) + r"\.(\d{1,3})\.")
    return len({match[1] for tensor in tensors if (match := pattern.match(tensor))})


def _with_encoder(tensors: Tensors, model: Model) -> Tensors:
    """Return a control-LoRA's weights: the UNet's encoder, under its own names, plus the file's changes to it."""
    if model.is_transformer:
        raise ModelUnreadable("Control-LoRAs work with SD 1.5 and SDXL alone.", "Choose another ControlNet.")
    unet = model.base.unet
    layers = dict(unet.named_modules())
    whole: Tensors = {}
    for name, (ours,), _ in other_names(unet,
                                        [name for name, layer in layers.items()
                                         if getattr(layer, "weight", None) is not None]):
        if name.startswith(("input_blocks.", "middle_block.", "time_embed.",
                            "label_emb.")) and ".processor." not in name:
            base = getattr(layers[ours], "base_layer", layers[ours])
            whole |= {f"{name}.{key}": value.detach().to("cpu", model.dtype)
                      for key, value in base.named_parameters(recurse=False)}
    for name, value in tensors.items():
        stem = name.removesuffix(".up")
        if stem != name:
            change = value.float().flatten(1) @ tensors[f"{stem}.down"].float().flatten(1)
            weight = whole[f"{stem}.weight"]
            whole[f"{stem}.weight"] = (weight.float() + change.reshape(weight.shape)).to(model.dtype)
        elif not name.endswith(".down"):
            whole[name] = value
    return whole
