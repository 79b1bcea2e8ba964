"""The plan of a picture: what a task hands to the painter."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from ...core.request import Request
from ..conditioning.controlnets import LoadedControls
from ..conditioning.reference import Reference
from ..conditioning.regions import Layout
from .tiles import Tiles
from .upscaler import Upscaler

NOTHING = (0, 0)  # the size of what is painted if nothing is


def _unmodified(picture: Image.Image) -> Image.Image:
    return picture


@dataclass(frozen=True)
class Plan:
    """How one picture is painted.

    Attributes:
        arguments: The task's own arguments of the pipeline's call.
        size: (width, height) in pixels of what is painted; `NOTHING` if nothing is.
        finish: Turns the pipeline's RGB picture into the result.
        unchanged: The result if nothing is to be painted at all.
        notes: What the artist should know.
        tiles: The tiles of a picture that is painted tile by tile.
        source: The pixels that the tiles are cut from, H×W×3 uint8.
        refine: The request of a second pass over the finished picture.
        tiling: The axes along which what is painted wraps; None for the request's own.
        fit: Brings another picture of the result's size, such as a control picture, to what is painted.
        controls: The ControlNets, of the first pass only.
        tiled_vae: Whether the VAE works in tiles, because memory is short.
        reference: The reference image, of all passes.
        upscaler: The upscaler that enlarges a picture before the model refines it.
        small: The picture (RGB) to be enlarged first.
        refined: Makes the plan over the enlarged picture.
        layout: Where the request's regions lie.
        repaint: What is painted at all, L, white; None for everything. Only pipelines that inpaint heed it.
    """

    arguments: dict[str, Any]
    size: tuple[int, int]
    finish: Callable[[Image.Image], Image.Image] = _unmodified
    unchanged: Image.Image | None = None
    notes: tuple[str, ...] = field(default=())
    tiles: Tiles | None = None
    source: np.ndarray | None = None
    refine: Request | None = None
    tiling: str | None = None
    fit: Callable[[Image.Image], Image.Image] = _unmodified
    controls: LoadedControls = LoadedControls()
    tiled_vae: bool = False
    reference: Reference | None = None
    upscaler: Upscaler | None = None
    small: Image.Image | None = None
    refined: Callable[[Image.Image], Plan] | None = None
    layout: Layout = Layout()
    repaint: Image.Image | None = None

    def then(self, change: Callable[[Image.Image], Image.Image]) -> Plan:
        """Return the same plan with `change` applied to its result."""
        return replace(self, finish=lambda painted: change(self.finish(painted)),
                       unchanged=self.unchanged and change(self.unchanged))

    def passed_on(self, other: Plan) -> Plan:
        """Return `other`, a part of this plan or a pass after it, with the settings that hold for all of them."""
        layout = other.layout if other.layout.numbers else self.layout
        return replace(other, tiled_vae=self.tiled_vae, reference=self.reference, upscaler=self.upscaler,
                       layout=replace(layout, kept=None, fade=None))
