"""Seamless pictures: every convolution wraps around at the chosen borders for the length of one call.

Padding is made circular per axis in UNet and VAE, as A1111's "tiling" does; and, beyond it, in `Downsample2D` of the
VAE encoder, whose hard-coded zero pad would leave a seam in image-to-image.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MethodType

import torch
import torch.nn.functional as F
from diffusers.models.downsampling import Downsample2D
from torch import nn


@contextmanager
def circular(modules: Iterable[nn.Module], tiling: str) -> Iterator[None]:
    """Within the block, padded 2-D convolutions inside `modules` wrap along x, y or both (`tiling`: none | x | y | xy).

    Afterwards, also after an exception, every module is exactly as before. Results then are roll-equivariant along
    those axes, for shifts by multiples of the network's downsampling.
    """
    if tiling == "none":
        yield
        return
    axes = ("x" in tiling, "y" in tiling)
    convolutions: list[nn.Conv2d] = []
    downsamplers: list[Downsample2D] = []
    try:
        for module in _distinct(modules):
            if isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
                module.padding = 1  # any other value than 0 keeps `forward` from padding with zeros; the convolution pads
                downsamplers.append(module)
                _wrap(module.conv, (0, 1, 0, 1), axes)
                convolutions.append(module.conv)
        for module in _distinct(modules):
            if isinstance(module, nn.Conv2d) and "_conv_forward" not in vars(module):
                left, right, top, bottom = module._reversed_padding_repeated_twice
                if left or right or top or bottom:
                    _wrap(module, (left, right, top, bottom), axes)
                    convolutions.append(module)
        yield
    finally:
        for convolution in convolutions:
            del convolution._conv_forward
        for downsampler in downsamplers:
            downsampler.padding = 0


def _distinct(modules: Iterable[nn.Module]) -> list[nn.Module]:
    found = {id(part): part for module in modules for part in module.modules()}
    return list(found.values())


def _wrap(convolution: nn.Conv2d, pads: tuple[int, int, int, int], axes: tuple[bool, bool]) -> None:
    """Makes `convolution` pad by `pads` (left, right, top, bottom): circularly along `axes` (x, y), with zeros along the other."""
    left, right, top, bottom = pads
    wrap_x, wrap_y = axes
    zeros = (0 if wrap_x else left, 0 if wrap_x else right, 0 if wrap_y else top, 0 if wrap_y else bottom)

    def _conv_forward(self: nn.Conv2d, value: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if wrap_x:
            value = _extended(value, left, right, -1)
        if wrap_y:
            value = _extended(value, top, bottom, -2)
        if any(zeros):
            value = F.pad(value, zeros)
        return F.conv2d(value, weight, bias, self.stride, 0, self.dilation, self.groups)

    convolution._conv_forward = MethodType(_conv_forward, convolution)


def _extended(value: torch.Tensor, before: int, after: int, axis: int) -> torch.Tensor:
    """`value` with its own far ends beyond both ends of `axis`. Unlike `F.pad`'s circular mode, `cat` leaves tensors whose
    channels come last so; copying them there and back would cost more than the padding."""
    length = value.shape[axis]
    return torch.cat([value.narrow(axis, length - before, before), value, value.narrow(axis, 0, after)], axis)
