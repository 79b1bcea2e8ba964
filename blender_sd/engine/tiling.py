"""Seamless pictures: every convolution wraps around at the chosen borders for the length of one call.

Padding is made circular per axis in UNet and VAE, as A1111's "tiling" does; and, beyond it, in `Downsample2D` of the
VAE encoder, whose hard-coded zero pad would leave a seam in image-to-image. The VAE of Qwen-Image, made for films, pads by
modules of its own; it is given the same.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageCausalConv3d
from diffusers.models.downsampling import Downsample2D
from torch import nn


@contextmanager
def circular(modules: Iterable[nn.Module], tiling: str) -> Iterator[None]:
    """Within the block, padded convolutions inside `modules` wrap along x, y or both (`tiling`: none | x | y | xy).

    Afterwards, also after an exception, every module is exactly as before. Results then are roll-equivariant along
    those axes, for shifts by multiples of the network's downsampling.
    """
    if tiling == "none":
        yield
        return
    axes = ("x" in tiling, "y" in tiling)
    convolutions: list[nn.Module] = []
    changed: list[tuple[nn.Module, str, Any]] = []

    def change(module: nn.Module, name: str, value: Any) -> None:
        changed.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def wrap(convolution: nn.Module, pads: tuple[int, ...]) -> None:
        convolution._conv_forward = MethodType(_wrapping(pads, axes), convolution)
        convolutions.append(convolution)

    try:
        for module in _distinct(modules):
            if isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
                change(module, "padding", 1)  # any other value than 0 keeps `forward` from padding with zeros; the convolution pads
                wrap(module.conv, (0, 1, 0, 1))
            elif isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[0], nn.ZeroPad2d):
                wrap(module[1], module[0].padding)
                change(module[0], "padding", (0, 0, 0, 0))
            elif isinstance(module, QwenImageCausalConv3d) and any(module._padding[:4]):
                wrap(module, module._padding[:4])
                change(module, "_padding", (0, 0, 0, 0, *module._padding[4:]))
        for module in _distinct(modules):
            if isinstance(module, nn.Conv2d) and "_conv_forward" not in vars(module):
                pads = tuple(module._reversed_padding_repeated_twice)
                if any(pads):
                    wrap(module, pads)
        yield
    finally:
        for convolution in convolutions:
            del convolution._conv_forward
        for module, name, value in changed:
            setattr(module, name, value)


def _distinct(modules: Iterable[nn.Module]) -> list[nn.Module]:
    found = {id(part): part for module in modules for part in module.modules()}
    return list(found.values())


def _wrapping(pads: tuple[int, ...], axes: tuple[bool, bool]) -> Callable[..., torch.Tensor]:
    """A convolution's method that pads by `pads` (left, right, top, bottom): circularly along `axes` (x, y), with zeros along the
    other."""
    sides = (*pads[:2], -1), (*pads[2:], -2)
    zeros = tuple(0 if around else pad for around, side in zip(axes, sides, strict=True) for pad in side[:2])

    def _conv_forward(self: nn.Module, value: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        for side, around in zip(sides, axes, strict=True):
            if around:
                value = _extended(value, *side)
        if any(zeros):
            value = F.pad(value, zeros)
        return (F.conv3d if value.ndim == 5 else F.conv2d)(value, weight, bias, self.stride, 0, self.dilation, self.groups)

    return _conv_forward


def _extended(value: torch.Tensor, before: int, after: int, axis: int) -> torch.Tensor:
    """`value` with its own far ends beyond both ends of `axis`. Unlike `F.pad`'s circular mode, `cat` leaves tensors whose
    channels come last so; copying them there and back would cost more than the padding."""
    length = value.shape[axis]
    return torch.cat([value.narrow(axis, length - before, before), value, value.narrow(axis, 0, after)], axis)
