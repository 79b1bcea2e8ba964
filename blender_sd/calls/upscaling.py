"""Enlarge a picture, with detail that a model adds."""
from __future__ import annotations

from typing import Any

from ..core.request_builder import checked_scale, checked_size
from ..core.tasks import UPSCALE
from ..session.job import Job
from .arguments import task_call
from .submission import open_source, prepare, submit


@task_call(UPSCALE)
def upscale(source: Any, prompt: str | None = None, *, scale: float = 2.0, **settings: Any) -> Job:
    """Enlarge a picture, and add detail with the model. Return its job at once.

    The picture is enlarged by `upscaler`, then refined after `prompt` at `strength` in overlapping tiles, so that
    memory stays what one tile needs. With `tiling`, tiles go round the border, and a seamless texture stays seamless.
    An upscaler is a name of `upscalers`; a file that spandrel reads (ESRGAN, SwinIR, DAT, HAT …); a folder with Stable
    Diffusion's x4 or latent x2 upscaler, which read the prompt; or "" to resample (Lanczos).

    Args:
        source: As for `restyle`.
        prompt: None is the prompt that made `source`, with its negative prompt and LoRAs, if it carries its settings.
        scale: How many times as large each side becomes; any factor, since an upscaler's output is resized.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used.
    """
    checked_scale(scale)
    order = prepare(UPSCALE, prompt, settings, source)
    data, (width, height) = open_source(source)
    size = checked_size((round(width * scale), round(height * scale)))
    return submit(order, {"source": data}, size=size, given=source)
