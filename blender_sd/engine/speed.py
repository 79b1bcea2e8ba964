"""Faster arithmetic where it works: attention by other packages' kernels, and repeated blocks compiled by torch.

Neither may cost a picture: what is not installed or does not fit the device is left out and said once, and what breaks while
painting is switched off for the model, whose picture is then begun again.
"""
from __future__ import annotations

import importlib.util
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from ..protocol.errors import InvalidRequest
from ..protocol.messages import ATTENTION, EngineConfig
from ..protocol.rungs import FULL, TILES
from . import attention

if TYPE_CHECKING:
    from .models import Model

log = logging.getLogger(__name__)
_AUTO, _XFORMERS = "auto", "xformers"
_PACKAGES = {"flash": ("flash_attn", "flash-attn"), "sage": ("sageattention", "sageattention"), _XFORMERS: (_XFORMERS, _XFORMERS)}
_COMPILER = "inductor"
_RECOMPILES = 128  # of one kind of block: for every width, size of picture and set of LoRAs; torch's own 8 are soon used up


def check(config: EngineConfig) -> None:
    """Raises InvalidRequest for an attention that does not exist."""
    if config.attention not in ATTENTION:
        raise InvalidRequest(f"There is no attention called '{config.attention:.40}'.", f"Choose one of: {', '.join(ATTENTION)}.")


def set_up(model: Model, config: EngineConfig) -> list[str]:
    """Gives a model that has just been loaded what `config` asks for; what the artist should know of what it cannot have. Does
    nothing for one that was set up before."""
    if model.set_up:
        return []
    model.set_up, notes = True, []
    if config.attention != _AUTO:
        why = _no_attention(model, config.attention)
        if why:
            notes.append(f"Attention by {config.attention} was left out, since {why}; torch's own is used.")
        else:
            model.attention = config.attention
    if config.compile:
        why = _no_compiling(model)
        if why:
            notes.append(f"The model was not compiled, since {why}.")
    return notes


def within(model: Model) -> AbstractContextManager[None]:
    """The block in which the model's attention is the one that was set up, or the one that suits the processor."""
    if not model.attention:
        return nullcontext() if model.compiled else attention.within(model.dtype, model.device.torch)
    if not _dispatches(model):
        return nullcontext()  # xformers is on already
    from diffusers.models.attention_dispatch import attention_backend

    return attention_backend(model.attention)


def off(model: Model) -> str:
    """Makes the model as it was before `set_up`; what the artist should know, "" where nothing was on."""
    names = [name for name, on in ((f"attention by {model.attention}", model.attention), ("compiling", model.compiled)) if on]
    if model.attention == _XFORMERS and not _dispatches(model):
        model.denoiser.disable_xformers_memory_efficient_attention()
    if model.compiled:
        for block in _blocks(model):
            block._compiled_call_impl = None  # what Module.compile has set; torch has no call that takes it back
        torch._dynamo.reset()
    model.attention, model.compiled = "", False
    return f"This failed with {' and '.join(names)}; the picture is begun again without." if names else ""


def _no_attention(model: Model, name: str) -> str:
    """Why the model cannot have this attention, "" where it can. Where it can, xformers is on already."""
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
    except Exception as error:  # kernels refuse in ways of their own: device, precision, version
        log.info("attention by %s does not work here", name, exc_info=error)
        return "it does not run on this device"
    return ""


def _probe(model: Model, name: str) -> None:
    from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn

    width = getattr(model.denoiser.config, "attention_head_dim", None)
    value = torch.zeros(1, 64, 2, width if isinstance(width, int) else 64, device=model.device.torch, dtype=model.dtype)
    with torch.no_grad(), attention_backend(name):
        dispatch_attention_fn(value, value, value)


def _dispatches(model: Model) -> bool:
    """Whether the model's attention goes through diffusers' dispatcher; that of UNets and of SD 3 does not."""
    return any(hasattr(getattr(part, "processor", None), "_attention_backend") for part in model.denoiser.modules())


def _no_compiling(model: Model) -> str:
    """Why the model cannot be compiled, "" where its blocks now are, at their first call. They hold no padded convolutions, so
    that tiling is left to itself."""
    if model.rung not in (FULL, TILES):
        return "memory is short and its weights are moved or kept in 8 bits"
    if not getattr(model.denoiser, "_repeated_blocks", None):
        return "its family has no repeated blocks"
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _RECOMPILES)
    torch._inductor.config.compile_threads = 1  # no helper processes beside the engine's own
    model.denoiser.compile_repeated_blocks(backend=_COMPILER)
    model.compiled = True
    return ""


def _blocks(model: Model) -> list[torch.nn.Module]:
    return [part for part in model.denoiser.modules() if type(part).__name__ in model.denoiser._repeated_blocks]
