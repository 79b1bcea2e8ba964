"""Memory modes (`core.memory_modes`): choose the one that a model needs on a device, and put a loaded model into it.

On a graphics card the weights can wait in RAM. On a processor they are there already, so only tiles and 8-bit weights
help. accelerate's hooks move whole parts; diffusers' group offloading and layerwise casting do the rest.
"""
from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from diffusers.hooks.group_offloading import _maybe_remove_and_reapply_group_offloading

from ...core.errors import OutOfMemory
from ...core.memory_modes import FP8, FULL, OFFLOAD, ON_APPLE, MEMORY_MODES, STREAM, TILES
from . import acceleration, budget
from .devices import Device, free_ram
from .loaded import LoadedModel

log = logging.getLogger(__name__)
_ORDER = tuple(MEMORY_MODES)
_STORAGE = torch.float8_e4m3fn
_MMAP_THRESHOLD = -3  # glibc's M_MMAP_THRESHOLD


def available(device: Device) -> tuple[str, ...]:
    """Return the memory modes that `device` has, from the fastest to the one that takes least memory."""
    return {"cpu": (FULL, TILES, FP8), "mps": ON_APPLE}.get(device.kind, _ORDER)


def choose(device: Device, parts: Sequence[int], wanted: str, held: int = 0) -> str:
    """Return the fastest memory mode in which a model's weights fit.

    Args:
        device: Where the model is to run.
        parts: Size of each part's weights in bytes.
        wanted: The fastest mode to consider; "auto" for all.
        held: Bytes that would be free as well, because the same model holds them now.

    Raises:
        OutOfMemory: The weights fit in no mode.
    """
    modes = available(device)
    # A mode that the device lacks counts as the next faster one: a processor and Apple's GPU have weights in RAM
    # already.
    start = 0
    if wanted != "auto":
        start = max(at for at, mode in enumerate(modes) if _ORDER.index(mode) <= _ORDER.index(wanted))
    for mode in modes[start:]:
        if all(need <= free + held for need, free in _needs(device, parts, mode)):
            return mode
    budget.check_weights(device, min(need for need, _ in _needs(device, parts, modes[-1])))
    raise OutOfMemory("This model does not fit into memory.", "Close other programs or choose a smaller model.")


def _needs(device: Device, parts: Sequence[int], mode: str) -> list[tuple[int, int]]:
    """Return (needed, free) in bytes for each memory that a mode uses: the device's, RAM, or both.

    While 8-bit weights are made, the largest part is in memory in full.
    """
    whole, largest = sum(parts), max(parts, default=0)
    if mode in (FULL, TILES):
        return [(whole, device.free_bytes())]
    ram = (whole + largest) // 2 if mode == FP8 else whole
    if device.kind == "cpu":
        return [(ram, device.free_bytes())]
    return [(ram, free_ram()), (largest if mode == OFFLOAD else largest // 8, device.free_bytes())]


def cast_while_reading(name: str, part: torch.nn.Module, mode: str, dtype: torch.dtype) -> None:
    """Store the denoiser's weights in 8 bits as soon as they are read, if the memory mode asks for it.

    Other parts are left alone: they are small or, like VAEs, would lose quality.

    Args:
        name: The part's name in the pipeline, such as "unet".
        part: The part as it was read.
        mode: The memory mode.
        dtype: The precision to compute in.
    """
    # GGUF is small already
    if mode == FP8 and name in ("unet", "transformer") and not getattr(part, "is_quantized", False):
        part.enable_layerwise_casting(storage_dtype=_STORAGE, compute_dtype=dtype)
        for weight in part.parameters():
            if weight.dtype != _STORAGE:
                weight.data = weight.data.clone()  # a view would keep the whole file of full weights mapped
        _return_freed_blocks()


def _return_freed_blocks() -> None:
    """Make glibc return freed blocks of 1 MB or more to the system.

    It would otherwise keep those of all the casts: as much memory again as the weights take.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
            mallopt(_MMAP_THRESHOLD, 1 << 20)


def apply(model: LoadedModel, mode: str) -> None:
    """Move the weights of a model to where the memory mode `mode` keeps them: in RAM, on the device, or in both."""
    device = model.device.torch
    if mode in (FULL, TILES):
        model.base.to(device)
        model.memory_mode = mode
        return
    _unhook(model)
    model.base.to("cpu")
    model.device.release()
    if mode == FP8 and not _is_cast(model.denoiser):
        cast_while_reading("unet", model.denoiser, mode, model.dtype)
    if mode == OFFLOAD:
        _hook_parts(model.base, device)
    elif mode == STREAM or device.type != "cpu":
        _stream(model, device)
    model.memory_mode = mode
    log.info("%s is in the memory mode '%s'", model.name, mode)


def lower(model: LoadedModel) -> str:
    """Put the model into the next memory mode that takes less memory.

    Returns:
        The text to show, or "" if the model is in the last mode already.
    """
    modes = available(model.device)
    lower_modes = modes[max(modes.index(model.memory_mode), modes.index(TILES)) + 1:]
    if not lower_modes or model.memory_mode == STREAM:  # streamed weights cannot be made 8-bit
        return ""
    acceleration.disable(model)
    apply(model, lower_modes[0])
    model.lowered = True
    return MEMORY_MODES[lower_modes[0]].text


@contextmanager
def parts_at_rest(model: LoadedModel) -> Iterator[None]:
    """Return a context in which the parts of a model can be changed, also in a memory mode that moves them."""
    if model.memory_mode == OFFLOAD:
        _unhook(model)
    try:
        yield
    finally:
        if model.memory_mode == OFFLOAD:
            apply(model, OFFLOAD)
        for part in model.modules():
            _maybe_remove_and_reapply_group_offloading(part)  # it knows only the layers that were there before


def can_tile(model: LoadedModel) -> bool:
    """Return whether the model's VAE can work in tiles."""
    return hasattr(getattr(model.base, "vae", None), "enable_tiling")


def _is_cast(module: Any) -> bool:
    return any(weight.dtype == _STORAGE for weight in module.parameters())


def _hook_parts(base: Any, device: torch.device) -> None:
    from accelerate import cpu_offload_with_hook

    names = [name for name in base.model_cpu_offload_seq.split("->")
             if isinstance(base.components.get(name), torch.nn.Module)]
    others = [name for name, part in base.components.items() if isinstance(part, torch.nn.Module) and name not in names]
    hook = None
    for name in names:
        _, hook = cpu_offload_with_hook(base.components[name], device, prev_module_hook=hook)
    for name in others:
        base.components[name].to(device)


def _unhook(model: LoadedModel) -> None:
    from accelerate.hooks import remove_hook_from_module

    for part in model.modules():
        remove_hook_from_module(part, recurse=True)


def _stream(model: LoadedModel, device: torch.device) -> None:
    from diffusers.hooks import apply_group_offloading

    for part in model.modules():
        apply_group_offloading(part, onload_device=device, offload_device=torch.device("cpu"),
                               offload_type="leaf_level",
                               use_stream=device.type == "cuda")
