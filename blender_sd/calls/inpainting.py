"""Repaint a part of a picture, extend it beyond its borders, or make it repeat without a seam."""
from __future__ import annotations

from typing import Any

from ..core.request_builder import checked_aspect, checked_seam, checked_size, growth
from ..core.tasks import INPAINT, MAKE_SEAMLESS, OUTPAINT, MakeSeamless
from ..session.job import Job
from .arguments import task_call
from .runtime import runtime
from .submission import open_source, prepare, submit


@task_call(INPAINT)
def inpaint(source: Any, mask: Any, prompt: str | None = None, **settings: Any) -> Job:
    """Repaint the masked part of a picture; every other pixel stays as it was, bit for bit. Return its job at once.

    Args:
        source: As for `restyle`.
        mask: As `source`, or an H×W array; white is repainted. "FACES" is the UV area of the active object's
            selected faces; "ALPHA" the transparent parts of the source, which become opaque.
        prompt: None is as for `upscale`.
        {settings}

    Raises:
        SDError: The source, the mask or the settings cannot be used.
    """
    alpha = isinstance(mask, str) and mask == "ALPHA"
    order = prepare(INPAINT, prompt, {**settings, "mask_kind": "alpha" if alpha else "white"}, source)
    data, size = open_source(source)
    inputs = {"source": data, "mask": data if alpha else runtime.scene.open_mask(mask, size, source)}
    return submit(order, inputs, size=size, given=source)


@task_call(OUTPAINT)
def outpaint(source: Any, prompt: str | None = None, *, aspect: tuple[float, float] | None = None,
             **settings: Any) -> Job:
    """Extend a picture beyond its borders. Return its job at once.

    Args:
        source: As for `restyle`.
        prompt: None is as for `upscale`.
        aspect: Width and height of the shape to reach instead of pixels on each side, half of the growth on each.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used, or nothing would be added.
    """
    order = prepare(OUTPAINT, prompt, settings, source)
    if aspect is None:
        growth(0, 0, settings)  # refuses at once, before a render, if nothing would be added
    else:
        checked_aspect(aspect)
    data, (width, height) = open_source(source)
    sides: dict[str, Any] = growth(width, height, settings, aspect)
    larger = checked_size((width + sides["left"] + sides["right"], height + sides["top"] + sides["bottom"]))
    return submit(order, {"source": data}, size=larger, given=source, **sides)


@task_call(MAKE_SEAMLESS)
def make_seamless(source: Any, prompt: str | None = None, *, tiling: str = MakeSeamless.defaults["tiling"],
                  **settings: Any) -> Job:
    """Make a texture repeat without a seam. Return its job at once.

    A band across the border is repainted so that both sides meet; every other pixel stays as it was.

    Args:
        source: As for `restyle`.
        prompt: None is as for `upscale`.
        tiling: x, y or xy: the axes along which it is to repeat.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used.
    """
    order = prepare(MAKE_SEAMLESS, prompt, {**settings, "tiling": tiling}, source)
    checked_seam(tiling)
    data, size = open_source(source)
    return submit(order, {"source": data}, size=size, given=source)
