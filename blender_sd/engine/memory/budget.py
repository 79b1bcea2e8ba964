"""Estimate whether a picture or a model fits into memory, and recognise the errors that say it did not.

A picture that clearly cannot fit is refused before it starts: a machine that swaps is worse than a refusal.
"""
from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError

from ...core.errors import ModelUnreadable, OutOfMemory, SDError
from ...protocol import endings
from ...protocol.messages import text_of
from .devices import Device

_ADVICE = "Choose a smaller size, or close other programs."
_TILE = 1024  # pixels; the largest tile that any VAE in diffusers uses
_MARKS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc failed",
          "could not create a primitive", "could not create a memory",  # oneDNN, on a processor
          "invalid buffer size",  # Metal
          "os error 1455", "winerror 1455")  # Windows' paging file is too small to map a file of weights


def check_picture(device: Device, pipe: Any, width: int, height: int, tiled_vae: bool = False) -> None:
    """Raise OutOfMemory if a picture clearly cannot fit beside the loaded weights.

    Args:
        device: Where the pipeline runs.
        pipe: The diffusers pipeline.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        tiled_vae: Whether the VAE decodes in tiles.
    """
    needed = picture_bytes(pipe, width, height, tiled_vae)
    free = device.free_bytes()
    if needed > free:
        raise OutOfMemory(f"A picture of {width} × {height} needs about {_gb(needed)} of memory; {_gb(free)} are free.",
                          _ADVICE)


def views_at_once(device: Device, pipe: Any, width: int, height: int, count: int) -> int:
    """Return how many of `count` pictures of that size the denoiser can take in one batch."""
    return max(1, min(count, int(0.8 * device.free_bytes() / max(1, _denoise_bytes(pipe, width, height)))))


def check_weights(device: Device, needed: int) -> None:
    """Raise OutOfMemory if a model's weights, `needed` bytes, do not fit on `device`."""
    free = device.free_bytes()
    if needed > free:
        raise OutOfMemory(f"This model needs {_gb(needed)} of memory; {_gb(free)} are free.",
                          "Close other programs or choose a smaller model.")


def picture_bytes(pipe: Any, width: int, height: int, tiled_vae: bool = False) -> int:
    """Return a careful lower bound for the peak of activations while one picture is made, in bytes.

    The peak is the VAE decoder's last stage, where its second-widest layers meet full resolution: an input, an output
    and a normalised copy of it. The denoiser's widest full-resolution stage counts twice for guidance.
    """
    decoded = (min(width, _TILE), min(height, _TILE)) if tiled_vae else (width, height)
    return max(_decode_bytes(pipe, *decoded), _denoise_bytes(pipe, width, height))


def _decode_bytes(pipe: Any, width: int, height: int) -> int:
    vae = getattr(pipe, "vae", None)
    widths = list(getattr(getattr(vae, "config", None), "block_out_channels", None) or [64])
    channels = widths[min(1, len(widths) - 1)]
    copies = 3 if hasattr(vae, "quant_conv") else 2  # a tiny autoencoder has no group normalisation to copy for
    return width * height * channels * copies * _item_bytes(vae)


def _denoise_bytes(pipe: Any, width: int, height: int) -> int:
    scale = getattr(pipe, "vae_scale_factor", 8)
    net = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    config = getattr(net, "config", None)
    widths = getattr(config, "block_out_channels", None)
    if widths:
        channels = widths[0]
    else:  # a transformer takes 2×2 latents as one token
        channels = (getattr(config, "num_attention_heads", None) or 8) * (getattr(config, "attention_head_dim", None)
                                                                          or 64) // 4
    return (width // scale) * (height // scale) * channels * 2 * 8 * _item_bytes(net)


def _item_bytes(module: Any) -> int:
    return getattr(module, "dtype", torch.float32).itemsize if module is not None else 4


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` is how torch, the system or Python reports that memory has run out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError, SafetensorError)) and any(mark in str(error).lower()
                                                                               for mark in _MARKS)


def translated(error: BaseException) -> SDError:
    """Return the SDError to show for an error that a library raised while a picture was made."""
    if isinstance(error, SDError):
        return error
    if endings.is_panic(error):
        return ModelUnreadable("A file of the model makes the library that reads it fail.",
                               "Download the model again, or choose another.",
                               text_of(error))
    if is_out_of_memory(error):
        return OutOfMemory("The picture does not fit into the device's memory.", _ADVICE, text_of(error))
    return SDError(f"The engine failed: {_short(error)}", "The log says more; another sampler, size or model may work.",
                   text_of(error))


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]:.200}".rstrip(": ")


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
