"""Tiny ControlNets of every class, for the tiny models; what is zero at first in a real one is random here, so that it
has an effect."""
from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import UNet2DConditionModel


def _unet(model: str) -> tuple[Any, tuple[int, ...]]:
    """The UNet in the folder `model`, and widths for as many halvings as its VAE makes, and one."""
    levels = 3 if Path(model).name == "taesd" else 4
    return UNet2DConditionModel.from_pretrained(model, subfolder="unet"), (8,) * levels


def plain(model: str) -> torch.nn.Module:
    unet, widths = _unet(model)
    return diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=widths)


def union(model: str) -> torch.nn.Module:
    unet, widths = _unet(model)
    cls = diffusers.ControlNetUnionModel
    known = {name: value for name, value in unet.config.items() if name in signature(cls.__init__).parameters}
    return cls(**known, conditioning_embedding_out_channels=widths, num_control_type=6, num_trans_channel=32,
               num_trans_head=4, num_proj_channel=32)


def _of(cls: str, transformer: str, *copied: str, **settings: Any) -> Callable[[str], torch.nn.Module]:
    """A builder of ControlNets of `cls`, with settings of the model's `transformer` class copied."""

    def build(model: str) -> torch.nn.Module:
        config = getattr(diffusers, transformer).load_config(model, subfolder="transformer")
        return getattr(diffusers, cls)(**{name: config[name] for name in copied}, **settings)

    return build


def _z_image(refiner: str | None, places: list[int]) -> Callable[[str], torch.nn.Module]:
    return _of("ZImageControlNetModel", "ZImageTransformer2DModel", "dim", "n_heads", "n_kv_heads", "n_refiner_layers",
               control_layers_places=places, control_refiner_layers_places=[0], control_in_dim=4,
               add_control_noise_refiner=refiner)


_FLUX = ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim",
         "guidance_embeds", "axes_dims_rope")
BUILDERS: dict[str, Callable[[str], torch.nn.Module]] = {
    "plain": plain, "union": union, "flux": _of("FluxControlNetModel", "FluxTransformer2DModel", *_FLUX, num_layers=1,
                                                num_single_layers=1),
    "flux_union": _of("FluxControlNetModel", "FluxTransformer2DModel", *_FLUX, num_layers=1, num_single_layers=1,
                      num_mode=10), "sd3": _of("SD3ControlNetModel", "SD3Transformer2DModel", "sample_size",
                                               "patch_size", "in_channels", "out_channels", "attention_head_dim",
                                               "num_attention_heads", "joint_attention_dim", "caption_projection_dim",
                                               "pooled_projection_dim", num_layers=1),
    "qwen": _of("QwenImageControlNetModel", "QwenImageTransformer2DModel", "in_channels", "out_channels",
                "attention_head_dim", "num_attention_heads", "joint_attention_dim", "axes_dims_rope", num_layers=1),
    "z_image": _z_image(None, [0, 1]), "z_image_2": _z_image("control_layers", [0]),
    "z_image_21": _z_image("control_noise_refiner", [0]),
    "sana": _of("SanaControlNetModel", "SanaTransformer2DModel", "in_channels", "out_channels", "num_attention_heads",
                "attention_head_dim", "num_cross_attention_heads", "cross_attention_head_dim", "cross_attention_dim",
                "caption_channels", "sample_size", num_layers=1)}


def build(kind: str, model: str, folder: str | Path, *, seed: int = 0) -> Path:
    """A ControlNet of `kind` for the model in the folder `model`."""
    torch.manual_seed(seed)
    net = BUILDERS[kind](model)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.ndim > 1 and not weight.any() or "pad_token" in name:
                weight.normal_(0, 0.2)
    net.save_pretrained(folder, safe_serialization=True)
    return Path(folder)
