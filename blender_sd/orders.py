"""Requests from the keywords of the API: what was left open is filled in, and what cannot be is refused at once."""
from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from .protocol.errors import InvalidRequest, SourceUnusable
from .protocol.request import MAX_SEED, MAX_SIDE, MIN_SIDE, Request
from .session.library import ModelInfo


def request(task: str, info: ModelInfo, prompt: str, model: str, size: tuple[int, int], seed: int | None, steps: int | None,
            guidance: float | None, sampler: str | None, tile: int | None = None, **rest: Any) -> Request:
    """The request of `task`, what is None filled in with what suits the model (`seed`: a random one). `rest`: other fields.
    Raises InvalidRequest."""
    return Request(
        task=task, prompt=prompt, model=model, width=size[0], height=size[1],
        seed=random.SystemRandom().randint(0, MAX_SEED) if seed is None else seed,
        steps=info.steps if steps is None else steps,
        guidance=info.guidance if guidance is None else guidance,
        sampler=sampler or info.sampler,
        tile=min(max(info.default_width, 64), 4096) if tile is None else tile, **rest)


def margins(width: int, height: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom pixels that bring a picture to `aspect`, width to height. Raises InvalidRequest."""
    try:
        across, down = map(float, aspect)
    except (TypeError, ValueError):
        across = down = 0.0
    if not (0 < across < float("inf") and 0 < down < float("inf")):
        raise InvalidRequest("The aspect must be two positive numbers: width and height.")
    wide, high = max(0, round(height * across / down) - width), max(0, round(width * down / across) - height)
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """`size`, if a picture can have it. Raises InvalidRequest."""
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InvalidRequest("The size must be two numbers: width and height in pixels.") from None
    checked = replace(Request(), width=width, height=height)  # before rounding, which would turn a 0 into something
    return checked.width, checked.height


def check_source_size(size: tuple[int, int]) -> None:
    """Raises SourceUnusable for a picture too small or too large."""
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {size[0]} × {size[1]} pixels.",
                             f"Use one with sides between {MIN_SIDE} and {MAX_SIDE} pixels.")
