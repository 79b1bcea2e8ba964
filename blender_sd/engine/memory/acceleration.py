"""Faster arithmetic where it works: attention kernels of other packages, and repeated blocks compiled by torch.

Neither may cost a picture. What is not installed or does not fit the device is left out, with a note; what fails while
painting is switched off for that model, and the picture starts again.
"""
from __future__ import annotations

import importlib.util
import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from ...core.errors import InvalidRequest
from ...core.memory_modes import FULL, TILES
from ...core.names import suggestion
from ...protocol.engine_config import ATTENTION, EngineConfig
from . import attention
from .loaded import LoadedModel

log = logging.getLogger(__name__)
_AUTO, _XFORMERS = "auto", "xformers"
_PACKAGES = {"flash": ("flash_attn", "flash-attn"), "sage": ("sageattention", "sageattention"),
             _XFORMERS: (_XFORMERS, _XFORMERS)}
_COMPILER = "inductor"
# Per kind of block. Every layer width, picture size and set of LoRAs needs one; torch's own limit of 8 is soon reached.
_RECOMPILES = 128


def check(config: EngineConfig) -> None:
    """Raise InvalidRequest if `config.attention` names no known attention."""
    if config.attention not in ATTENTION:
        raise InvalidRequest(f"There is no attention called '{config.attention:.40}'.",
                             suggestion(config.attention, ATTENTION))


def enable(model: LoadedModel, config: EngineConfig) -> list[str]:
    """Switch on the attention and compiling that `config` asks for, once per loaded model.

    Args:
        model: A loaded model. One that was set up before is left as it is.
        config: The engine's settings; `attention` and `compile` are read.

    Returns:
        Notes for the artist, one for each acceleration that this model or device cannot have.
    """
    if model.acceleration_set_up:
        return []
    model.acceleration_set_up, notes = True, []
    if config.attention != _AUTO:
        reason = _no_attention(model, config.attention)
        if reason:
            notes.append(f"Attention by {config.attention} was left out, since {reason}; torch's own is used.")
        else:
            model.attention = config.attention
    if config.compile:
        reason = _no_compiling(model)
        if reason:
            notes.append(f"The model was not compiled, since {reason}.")
    return notes


def within(model: LoadedModel) -> AbstractContextManager[None]:
    """Return a context in which the model runs with its chosen attention, or with the one that suits the processor."""
    if not model.attention:
        return nullcontext() if model.compiled else attention.within(model.dtype, model.device.torch)
    if not _dispatches(model):
        return nullcontext()  # xformers is on already
    from diffusers.models.attention_dispatch import attention_backend

    return attention_backend(model.attention)


def disable(model: LoadedModel) -> str:
    """Restore the model to what it was before `enable`.

    Returns:
        A note for the artist, or "" if nothing was switched on.
    """
    names = [name for name, on in ((f"attention by {model.attention}", model.attention), ("compiling", model.compiled))
             if on]
    if model.attention == _XFORMERS and not _dispatches(model):
        model.denoiser.disable_xformers_memory_efficient_attention()
    if model.compiled:
        for block in _blocks(model):
            block._compiled_call_impl = None  # set by Module.compile; torch has no call to undo it
        torch._dynamo.reset()
    model.attention, model.compiled = "", False
    return f"This failed with {' and '.join(names)}; the picture starts again without." if names else ""


def _no_attention(model: LoadedModel, name: str) -> str:
    """Switch on the attention `name`. Return why that is impossible, or "".

    Only xformers is switched on here; the others are chosen for each call (`within`).
    """
    module, package = _PACKAGES[name]
    if importlib.util.find_spec(module) is None:
        return f"the package {package} is not installed"
    if not _dispatches(model) and name != _XFORMERS:
        return f"models such as '{model.name}' can only be given xformers"
    try:
        if _dispatches(model):
            _probe(model, name)
        else:
            model.denoiser.enable_xformers_memory_efficient_attention()
    except Exception as error:  # kernels refuse devices, precisions and versions with errors of any type
        log.info("attention by %s does not work here", name, exc_info=error)
        return "it does not run on this device"
    return ""


def _probe(model: LoadedModel, name: str) -> None:
    from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn

    width = getattr(model.denoiser.config, "attention_head_dim", None)
    value = torch.zeros(1, 64, 2, width if isinstance(width, int) else 64, device=model.device.torch, dtype=model.dtype)
    with torch.no_grad(), attention_backend(name):
        dispatch_attention_fn(value, value, value)


def _dispatches(model: LoadedModel) -> bool:
    """Return whether the model's attention goes through diffusers' dispatcher; that of UNets and of SD 3 does not."""
    return any(hasattr(getattr(part, "processor", None), "_attention_backend") for part in model.denoiser.modules())


def _no_compiling(model: LoadedModel) -> str:
    """Have the denoiser's repeated blocks compiled at their first call. Return why that is impossible, or "".

    The blocks hold no padded convolutions, so seamless tiling still works on the compiled model.
    """
    if model.memory_mode not in (FULL, TILES):
        return "memory is short and its weights are moved or kept in 8 bits"
    if not getattr(model.denoiser, "_repeated_blocks", None):
        return "its family has no repeated blocks"
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _RECOMPILES)
    torch._inductor.config.compile_threads = 1  # the engine starts no helper processes
    model.denoiser.compile_repeated_blocks(backend=_COMPILER)
    model.compiled = True
    return ""


def _blocks(model: LoadedModel) -> list[torch.nn.Module]:
    return [part for part in model.denoiser.modules() if type(part).__name__ in model.denoiser._repeated_blocks]
