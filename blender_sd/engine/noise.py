"""Variation seeds: the noise that a picture starts from, leaning towards another seed's."""
from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def varied(pipe: Any, seed: int, strength: float) -> Iterator[None]:
    """While it lasts, the first noise that `pipe` draws is turned by `strength` of a right angle towards that of `seed`: 0 leaves
    it, 1 gives the other's. Turned (spherical interpolation, Shoemake 1985) and not mixed, it stays noise of the same
    strength. Noise that samplers add later is not changed."""
    module = sys.modules[type(pipe).prepare_latents.__module__]
    drawn = module.randn_tensor
    angle = strength * math.pi / 2

    def first(shape: Any, *args: Any, generator: Any = None, **rest: Any) -> torch.Tensor:
        module.randn_tensor = drawn
        other = drawn(shape, *args, generator=torch.Generator("cpu").manual_seed(seed), **rest)
        return drawn(shape, *args, generator=generator, **rest) * math.cos(angle) + other * math.sin(angle)

    if strength > 0:
        module.randn_tensor = first
    try:
        yield
    finally:
        module.randn_tensor = drawn
