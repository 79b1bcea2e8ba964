"""Unpack weights in 8 bits that have scales beside them (`library.quantised`)."""
from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ...library.quantised import BESIDE, SCALES

_WEIGHT = ".weight"


def plain(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return `tensors` with each matrix that has scales multiplied out in `dtype`, and without the scales.

    Raises:
        ValueError: Scales do not fit their matrix.
    """
    scaled = {}
    for name in tensors:
        stem, end = next(((name.removesuffix(end), end) for end in SCALES if name.endswith(end)), ("", ""))
        if end and stem + _WEIGHT in tensors:
            scaled[stem + _WEIGHT] = name
    gone = set(scaled.values())
    return {name: _times(tensor, tensors[scaled[name]], name).to(dtype) if name in scaled else tensor
            for name, tensor in tensors.items()
            if name not in gone and not name.endswith(BESIDE)}


def _times(weight: torch.Tensor, scale: torch.Tensor, name: str) -> torch.Tensor:
    """Return a matrix times its scale: one number, one for each row, or one for each block."""
    weight, scale = weight.float(), scale.float()
    if scale.numel() == 1:
        return weight * scale.reshape(())
    if scale.numel() == weight.shape[0]:
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    if scale.ndim != weight.ndim or any(part > side for part, side in zip(scale.shape, weight.shape, strict=True)):
        raise ValueError(f"{name} is {tuple(weight.shape)}, its scales {tuple(scale.shape)}")
    for axis, side in enumerate(weight.shape):
        block = _block(side, scale.shape[axis])
        scale = scale.repeat_interleave(block, axis).narrow(axis, 0, side)
    return weight * scale


def _block(side: int, blocks: int) -> int:
    """Return how many rows a block has: the power of two that gives so many blocks, otherwise as even as possible."""
    for size in (1 << power for power in range(20)):
        if math.ceil(side / size) == blocks and blocks > 1:
            return size
    return math.ceil(side / blocks)
