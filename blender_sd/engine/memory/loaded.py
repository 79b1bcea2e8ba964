"""The part of a loaded model (`models.cache.Model`) that this package uses."""
from __future__ import annotations

from typing import Any, Protocol

import torch

from .devices import Device


class LoadedModel(Protocol):
    """A model in memory.

    Attributes:
        base: The model's diffusers pipeline.
        denoiser: Its UNet or transformer.
        memory_mode: Where its weights are (`core.memory_modes`).
        acceleration_set_up: Whether `acceleration.enable` has run.
        attention: The attention that was switched on; "" for torch's own.
        compiled: Whether its repeated blocks are compiled.
        lowered: Whether memory ran out in a faster memory mode.
    """

    name: str
    base: Any
    device: Device
    dtype: torch.dtype
    memory_mode: str
    acceleration_set_up: bool
    attention: str
    compiled: bool
    lowered: bool

    @property
    def denoiser(self) -> torch.nn.Module: ...

    def modules(self) -> list[torch.nn.Module]: ...
