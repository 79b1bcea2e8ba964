"""What every task hands to the painter."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...protocol.request import Request
from ..controls import Steering
from ..reference import Reference
from ..tiles import Tiles

if TYPE_CHECKING:
    from ..upscalers import Upscaler


NOTHING = (0, 0)  # the size that is painted where nothing is


def _as_it_is(picture: Image.Image) -> Image.Image:
    return picture


@dataclass(frozen=True)
class Plan:
    """`arguments`: the task's own arguments of the pipeline's call. `size`: (width, height) that is painted. `finish`
    turns the pipeline's RGB picture into the result. `unchanged`: the result where nothing is to be painted at all.
    `notes`: what the artist should know. `source` and `tiles`: for a picture that is painted tile by tile, the pixels
    (H×W×3 uint8) that the tiles are cut from. `refine`: the request of a second pass, over the finished picture.
    `tiling`: the axes along which what is painted wraps, where they are not the request's. `fit`: brings another picture of
    the result's size, such as a control picture, to what is painted. `steering`: the ControlNets, of the first pass only.
    `lean`: the VAE works in tiles, since memory is short. `reference`: the reference image, of all passes. `small` and `refined`:
    for a picture that `upscaler` enlarges first, that picture (RGB) and what makes the plan over the enlarged one."""

    arguments: dict[str, Any]
    size: tuple[int, int]
    finish: Callable[[Image.Image], Image.Image] = _as_it_is
    unchanged: Image.Image | None = None
    notes: tuple[str, ...] = field(default=())
    tiles: Tiles | None = None
    source: np.ndarray | None = None
    refine: Request | None = None
    tiling: str | None = None
    fit: Callable[[Image.Image], Image.Image] = _as_it_is
    steering: Steering = Steering()
    lean: bool = False
    reference: Reference | None = None
    upscaler: Upscaler | None = None
    small: Image.Image | None = None
    refined: Callable[[Image.Image], Plan] | None = None

    def then(self, change: Callable[[Image.Image], Image.Image]) -> Plan:
        """The same plan with `change` made to its result."""
        return replace(self, finish=lambda painted: change(self.finish(painted)), unchanged=self.unchanged and change(self.unchanged))

    def passed_on(self, other: Plan) -> Plan:
        """`other`, a part of this one or a pass after it, with what holds for all of them."""
        return replace(other, lean=self.lean, reference=self.reference, upscaler=self.upscaler)
