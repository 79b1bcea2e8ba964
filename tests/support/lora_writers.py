"""LoRAs as every trainer writes them, for tiny models, with the weights that they stand for, merged by the tests' own
arithmetic."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file, save_file

from blender_sd.engine.models.lora_layouts import other_names

RANK, ALPHA = 4, 2.0
Tensors = dict[str, torch.Tensor]


def denoiser(folder: str | Path) -> torch.nn.Module:
    """The UNet or transformer in a model's folder."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    part = "unet" if "unet" in index else "transformer"
    return getattr(diffusers, index[part][1]).from_pretrained(folder, subfolder=part)


@dataclass(frozen=True)
class Trainer:
    """How a trainer calls a layer: `start` before its name, with `dots` or underscores, in the checkpoint's `original`
    layout or diffusers'; and what it writes for a low-rank layer: names of the first and second matrix, and whether
    alpha stands beside them."""

    start: str
    dots: bool = True
    original: bool = False
    ends: tuple[str, str] = ("lora_down.weight", "lora_up.weight")
    alpha: bool = True

    def name(self, layer: str) -> str:
        return self.start + (layer if self.dots else layer.replace(".", "_"))


_PEFT = ("lora_A.weight", "lora_B.weight")
TRAINERS = {
    "kohya": Trainer("lora_unet_", dots=False),
    "kohya original": Trainer("lora_unet_", dots=False, original=True),
    "comfyui": Trainer("diffusion_model.", original=True),
    "comfyui peft": Trainer("diffusion_model.", original=True, ends=_PEFT, alpha=False),
    "comfyui diffusers": Trainer("diffusion_model.", ends=_PEFT, alpha=False),
    "onetrainer": Trainer("lora_transformer_", dots=False),
    "onetrainer dots": Trainer("transformer."),
    "ai-toolkit": Trainer("transformer.", ends=_PEFT, alpha=False),
    "diffusers unet": Trainer("unet.", ends=_PEFT, alpha=False),
    "bare": Trainer("", ends=_PEFT, alpha=False),
    "peft": Trainer("base_model.model.", ends=_PEFT, alpha=False),
    "lycoris": Trainer("lycoris_", dots=False),
    "old diffusers": Trainer("unet.", ends=("lora.down.weight", "lora.up.weight"), alpha=False)}


@dataclass(frozen=True)
class Layer:
    """A layer as a layout has it: its `name` there, diffusers' names of what it is made of, and the weight with the
    rows of all of them: `sizes` says how many each has."""

    name: str
    ours: tuple[str, ...]
    swapped: bool
    weight: torch.Tensor
    sizes: tuple[int, ...]

    def shared(self, rows: torch.Tensor) -> Tensors:
        """`rows`, of this layer, by diffusers' names."""
        rows = torch.cat(rows.chunk(2)[::-1]) if self.swapped else rows
        return dict(zip(self.ours, rows.split(self.sizes), strict=True))


def layers_of(net: torch.nn.Module, original: bool) -> list[Layer]:
    """The linear layers and convolutions inside the net's blocks, in one of the layouts."""
    found = {
        name: layer for name, layer in net.named_modules()
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)) and (
            "blocks" in name or "layers." in name or "norm_out" in name or "mid_block" in name)}
    if not original:
        return [
            Layer(name, (name,), False, layer.weight.detach(), (layer.weight.shape[0],))
            for name, layer in found.items()]
    layers = []
    for name, ours, swapped in other_names(net, found):
        if "processor." not in name:
            weights = [found[one].weight.detach() for one in ours]
            joined = torch.cat(weights)
            layers.append(Layer(name, ours, swapped, torch.cat(joined.chunk(2)[::-1]) if swapped else joined,
                                tuple(len(weight) for weight in weights)))
    return layers


def low_rank(trainer: Trainer, layers: list[Layer], size: float = 0.3, seed: int = 0) -> tuple[Tensors, Tensors]:
    """The file of a LoRA for `layers`, and what it adds to diffusers' weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    added: Tensors = {}
    for layer in layers:
        out, wide = layer.weight.shape[:2]
        down = torch.randn(RANK, *layer.weight.shape[1:], generator=generator)
        up = torch.randn(out, RANK, *[1] * (layer.weight.ndim - 2), generator=generator) * size / wide ** 0.5
        name = trainer.name(layer.name)
        tensors |= {f"{name}.{trainer.ends[0]}": down, f"{name}.{trainer.ends[1]}": up}
        if trainer.alpha:
            tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
        delta = torch.einsum("or,rx->ox", up.flatten(1), down.flatten(1)).reshape(layer.weight.shape)
        added |= layer.shared(delta * (ALPHA / RANK if trainer.alpha else 1.0))
    return tensors, added


def write(tensors: Tensors, file: Path) -> str:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return str(file)


def merged(folder: str, added: Tensors, place: Path, change: Callable[[torch.Tensor, torch.Tensor],
                                                                      torch.Tensor] = torch.add) -> str:
    """A copy of the model in `folder` whose denoiser's weights are merged by hand."""
    shutil.copytree(folder, place)
    file = next(place.glob("unet/*.safetensors"), None) or next(place.glob("transformer/*.safetensors"))
    weights = load_file(file)
    for name, delta in added.items():
        key = name if name in weights else f"{name}.weight"
        weights[key] = change(weights[key], delta.reshape(weights[key].shape)).contiguous()
    save_file(weights, file, {"format": "pt"})
    return str(place)


def effective(net: torch.nn.Module) -> Tensors:
    """The weights that the net paints with: its own, and what peft's layers add to them by their own account."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: Tensors = {}
    for name, layer in net.named_modules():
        if isinstance(layer, BaseTunerLayer) and ".base_layer" not in name:
            weight, inner = layer.get_base_layer().weight.detach().clone(), layer
            while isinstance(inner, BaseTunerLayer):
                names = inner.lora_A if hasattr(inner, "lora_A") else inner._available_adapters
                weight += sum(inner.get_delta_weight(adapter) for adapter in names)
                inner = inner.base_layer
            found[name] = weight
        elif not isinstance(layer, BaseTunerLayer) and getattr(layer, "weight",
                                                               None) is not None and "base_layer" not in name:
            found[name] = layer.weight.detach()
    return found
