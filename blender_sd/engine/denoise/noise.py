"""Variation seeds: turn the noise that a picture starts from towards another seed's."""
from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def varied(pipe: Any, seed: int, strength: float) -> Iterator[None]:
    """Return a context in which the first noise that each call of `pipe` draws is turned towards that of another seed.

    The noise is turned (spherical interpolation, Shoemake 1985) and not mixed, so its strength stays the same. Noise
    that samplers add later is not changed. Prompts that change have the pipeline called several times: each call has a
    generator of its own.

    Args:
        pipe: The diffusers pipeline.
        seed: The other seed.
        strength: 0 (no change) to 1 (the other seed's noise).
    """
    module = sys.modules[type(pipe).prepare_latents.__module__]
    drawn = module.randn_tensor
    angle = strength * math.pi / 2
    turned: Any = module  # the generator whose first noise was turned; no generator yet

    def first(shape: Any, *args: Any, generator: Any = None, **rest: Any) -> torch.Tensor:
        nonlocal turned
        if generator is turned or generator is None and turned is not module:
            return drawn(shape, *args, generator=generator, **rest)
        turned = generator
        other = drawn(shape, *args, generator=torch.Generator("cpu").manual_seed(seed), **rest)
        return drawn(shape, *args, generator=generator, **rest) * math.cos(angle) + other * math.sin(angle)

    if strength > 0:
        module.randn_tensor = first
    try:
        yield
    finally:
        module.randn_tensor = drawn
