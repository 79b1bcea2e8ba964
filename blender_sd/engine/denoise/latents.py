"""Between latents as samplers work on them and pixels, for the VAEs of all families."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def one_by_one(vae: Any) -> Iterator[None]:
    """Return a context in which `vae` takes pictures of a batch one after another, so that memory does not grow."""
    before = getattr(vae, "use_slicing", None)
    if before is not None:
        vae.use_slicing = True
    try:
        yield
    finally:
        if before is not None:
            vae.use_slicing = before


def encoded(vae: Any, pictures: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Return V×C×h×w latents, float32, of 3×H×W pictures from −1 to 1.

    Args:
        vae: The VAE.
        pictures: The pictures, on any device.
        device: Where the VAE works; when memory is short, it lies elsewhere until it is called.
    """
    return torch.cat([_latents(vae, picture[None].to(device)) for picture in pictures])


def _latents(vae: Any, picture: torch.Tensor) -> torch.Tensor:
    values = picture.to(vae.dtype)
    result = vae.encode(values.unsqueeze(2) if _is_video(vae) else values, return_dict=False)[0]
    planes = result if isinstance(result, torch.Tensor) else result.mode()
    planes = (planes[:, :, 0] if planes.ndim == 5 else planes).float()
    mean, deviation = _statistics(vae, planes)
    return (planes - mean) / deviation


def _statistics(vae: Any, planes: torch.Tensor) -> tuple[Any, Any]:
    """Return what latents are shifted and scaled by before they are decoded."""
    config = vae.config
    means, deviations = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    scale = getattr(config, "scaling_factor", None) or 1.0
    if means is not None and deviations is not None:
        shape = (1, -1, 1, 1)
        mean, deviation = planes.new_tensor(means).view(shape), planes.new_tensor(deviations).view(shape)
        return mean, deviation if _is_video(vae) else deviation / scale
    return getattr(config, "shift_factor", None) or 0.0, 1 / scale


def _is_video(vae: Any) -> bool:
    return isinstance(getattr(vae.config, "z_dim", None), int)
