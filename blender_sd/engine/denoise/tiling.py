"""Seamless pictures: for the length of one call, every convolution wraps around at the chosen borders.

Padding becomes circular per axis in UNet and VAE, as with A1111's "tiling"; and, beyond that, in `Downsample2D` of the
VAE's encoder, whose hard-coded zero padding would leave a seam in image-to-image. Qwen-Image's VAE, made for video,
pads with modules of its own, which are changed likewise.
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
    """Return a context in which padded convolutions inside `modules` wrap along the axes of `tiling`.

    Afterwards, also after an exception, every module is exactly as before. Results are then equivariant under rolling
    along those axes, for shifts by multiples of the network's downsampling.

    Args:
        modules: The networks to change.
        tiling: none, x, y or xy.
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
                change(module, "padding", 1)  # with 0, `forward` would pad with zeros; now the convolution pads
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
    return list({id(part): part for module in modules for part in module.modules()}.values())


def _wrapping(pads: tuple[int, ...], axes: tuple[bool, bool]) -> Callable[..., torch.Tensor]:
    """Return a convolution's method that pads circularly along `axes` (x, y), and with zeros along the others.

    `pads`: left, right, top and bottom, in pixels.
    """
    sides = (*pads[:2], -1), (*pads[2:], -2)
    zeros = tuple(0 if around else pad for around, side in zip(axes, sides, strict=True) for pad in side[:2])

    def _conv_forward(self: nn.Module, value: torch.Tensor, weight: torch.Tensor,
                      bias: torch.Tensor | None) -> torch.Tensor:
        for side, around in zip(sides, axes, strict=True):
            if around:
                value = _extended(value, *side)
        if any(zeros):
            value = F.pad(value, zeros)
        return (F.conv3d if value.ndim == 5 else F.conv2d)(value, weight, bias, self.stride, 0, self.dilation,
                                                           self.groups)

    return _conv_forward


def _extended(value: torch.Tensor, before: int, after: int, axis: int) -> torch.Tensor:
    """Return `value` with its own far ends beyond both ends of `axis`.

    Unlike `F.pad`'s circular mode, `cat` keeps the memory layout of tensors whose channels come last; copying them to
    another layout and back would cost more than the padding.
    """
    length = value.shape[axis]
    return torch.cat([value.narrow(axis, length - before, before), value, value.narrow(axis, 0, after)], axis)
