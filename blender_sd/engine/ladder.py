"""Rungs of memory (`protocol.rungs`): which one a model needs on this device, and putting a loaded model on it.

On a graphics card the weights can wait in RAM; on a processor they are there already, so that only tiles and 8-bit weights
are left. The mechanisms are accelerate's hooks for whole parts, and diffusers' group offloading and layerwise casting.
"""
from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from ..protocol.errors import OutOfMemory
from ..protocol.rungs import FP8, FULL, OFFLOAD, RUNGS, STREAM, TILES
from . import memory, speed
from .devices import Device, free_ram

if TYPE_CHECKING:
    from .models import Model

log = logging.getLogger(__name__)
_ORDER = tuple(RUNGS)
_STORAGE = torch.float8_e4m3fn
_MMAP_THRESHOLD = -3  # glibc's M_MMAP_THRESHOLD


def on(device: Device) -> tuple[str, ...]:
    """The rungs that `device` has, from the fastest to the one that takes least."""
    return (FULL, TILES, FP8) if device.kind == "cpu" else _ORDER


def choose(device: Device, parts: Sequence[int], wanted: str, held: int = 0) -> str:
    """The fastest rung, at or below `wanted` ("auto": from the top), on which weights of `parts` bytes each fit into what is
    free, or would be without the `held` bytes. Raises OutOfMemory where none does."""
    rungs = on(device)
    # Of a rung that the device lacks, the next one above it: on a processor weights are in RAM as it is.
    start = 0 if wanted == "auto" else max(at for at, rung in enumerate(rungs) if _ORDER.index(rung) <= _ORDER.index(wanted))
    for rung in rungs[start:]:
        if all(need <= free + held for need, free in _needs(device, parts, rung)):
            return rung
    memory.check_weights(device, min(need for need, _ in _needs(device, parts, rungs[-1])))
    raise OutOfMemory("This model does not fit into memory.", "Close other programs or choose a smaller model.")


def _needs(device: Device, parts: Sequence[int], rung: str) -> list[tuple[int, int]]:
    """What the weights take and what is free, in bytes, in each memory that the rung uses. While 8-bit weights are made, the
    largest part is there in full."""
    whole, largest = sum(parts), max(parts, default=0)
    if rung in (FULL, TILES):
        return [(whole, device.free_bytes())]
    ram = (whole + largest) // 2 if rung == FP8 else whole
    if device.kind == "cpu":
        return [(ram, device.free_bytes())]
    return [(ram, free_ram()), (largest if rung == OFFLOAD else largest // 8, device.free_bytes())]


def cast_while_reading(name: str, part: torch.nn.Module, rung: str, dtype: torch.dtype) -> None:
    """Makes the denoiser's weights 8-bit as soon as they are read, where the rung says so: the other parts are small or, as
    VAEs, would suffer."""
    if rung == FP8 and name in ("unet", "transformer") and not getattr(part, "is_quantized", False):  # GGUF is small as it is
        part.enable_layerwise_casting(storage_dtype=_STORAGE, compute_dtype=dtype)
        for weight in part.parameters():
            if weight.dtype != _STORAGE:
                weight.data = weight.data.clone()  # it would keep the whole file of the full weights mapped
        _return_what_is_freed()


def _return_what_is_freed() -> None:
    """Lets the system have back each block of 1 MB that is freed: glibc would keep those of all the casts, as much again as the
    weights take."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 20)


def settle(model: Model, rung: str) -> None:
    """Puts the weights of a model where `rung` says; they are in RAM or, on rungs above, on the device."""
    device = model.device.torch
    if rung in (FULL, TILES):
        model.base.to(device)
        model.rung = rung
        return
    _unhook(model)
    model.base.to("cpu")
    model.device.release()
    if rung == FP8 and not _is_cast(model.denoiser):
        cast_while_reading("unet", model.denoiser, rung, model.dtype)
    if rung == OFFLOAD:
        _hook_parts(model.base, device)
    elif rung == STREAM or device.type != "cpu":
        _stream(model, device)
    model.rung = rung
    log.info("%s is on the rung '%s'", model.name, rung)


def lower(model: Model) -> str:
    """Puts the model one rung lower and returns what an artist should read; "" where it is on the last."""
    rungs = on(model.device)
    below = rungs[max(rungs.index(model.rung), rungs.index(TILES)) + 1:]
    if not below or model.rung == STREAM:  # weights that are being streamed cannot be made 8-bit; those read as such can be
        return ""
    speed.off(model)
    settle(model, below[0])
    model.lowered = True
    return RUNGS[below[0]].text


@contextmanager
def parts_at_rest(model: Model) -> Iterator[None]:
    """Within the block the parts of a model that moves them can be changed."""
    if model.rung == OFFLOAD:
        _unhook(model)
    try:
        yield
    finally:
        if model.rung == OFFLOAD:
            settle(model, OFFLOAD)


def can_tile(model: Model) -> bool:
    """Whether the model's VAE can work in tiles."""
    return hasattr(getattr(model.base, "vae", None), "enable_tiling")


def _is_cast(module: Any) -> bool:
    return any(weight.dtype == _STORAGE for weight in module.parameters())


def _hook_parts(base: Any, device: torch.device) -> None:
    from accelerate import cpu_offload_with_hook

    names = [name for name in base.model_cpu_offload_seq.split("->") if isinstance(base.components.get(name), torch.nn.Module)]
    others = [name for name, part in base.components.items() if isinstance(part, torch.nn.Module) and name not in names]
    hook = None
    for name in names:
        _, hook = cpu_offload_with_hook(base.components[name], device, prev_module_hook=hook)
    for name in others:
        base.components[name].to(device)


def _unhook(model: Model) -> None:
    from accelerate.hooks import remove_hook_from_module

    for part in model.modules():
        remove_hook_from_module(part, recurse=True)


def _stream(model: Model, device: torch.device) -> None:
    from diffusers.hooks import apply_group_offloading

    for part in model.modules():
        apply_group_offloading(part, onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level",
                               use_stream=device.type == "cuda")
