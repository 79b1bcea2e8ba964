"""Enlarge a picture, with detail that a model adds."""
from __future__ import annotations

from typing import Any, Unpack

from ..core.request import UPSCALE, default
from ..session.job import Job
from . import request_builder
from .arguments import scene_call
from .request_builder import Settings
from .submission import open_source, resolve, submit_task


@scene_call
def upscale(source: Any, prompt: str | None = None, *, scale: float = 2.0, strength: float = default("refine_strength"),
            tile: int | None = None, upscaler: str = "", upscaler_noise: int = default("upscaler_noise"),
            **settings: Unpack[Settings]) -> Job:
    """Enlarge a picture, and add detail with the model. Return its job at once.

    The picture is enlarged by `upscaler`, then refined after `prompt` at `strength` in overlapping tiles, so that
    memory stays what one tile needs. With `tiling`, tiles go round the border, and a seamless texture stays seamless.

    Args:
        source: As for `restyle`.
        prompt: None is the prompt that made `source`, with its negative prompt and LoRAs, if it carries its settings.
        scale: How many times as large each side becomes; any factor, since an upscaler's output is resized.
        strength: How much the model changes, 0 to 1; 0 only enlarges.
        tile: The side of a tile in pixels; None is the size that the model was trained for.
        upscaler: A name of `upscalers`; a file that spandrel reads (ESRGAN, SwinIR, DAT, HAT …); a folder with Stable
            Diffusion's x4 or latent x2 upscaler, which read the prompt; or "" to resample (Lanczos).
        upscaler_noise: The level of noise that the x4 upscaler adds first.
        settings: As for `generate`.

    Raises:
        SDError: The source or the settings cannot be used.
    """
    info, prompt, merged, _ = resolve(prompt, settings, source)
    data, (width, height) = open_source(source)
    size = request_builder.checked_size((round(width * scale), round(height * scale)))
    return submit_task(UPSCALE, info, prompt, size, {"source": data}, merged, given=source, strength=strength,
                       tile=tile, upscaler=upscaler, upscaler_noise=upscaler_noise)
