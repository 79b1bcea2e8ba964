"""Image → larger image: enlarged (by an upscaler, or resampled), then refined by the model tile by tile, so that memory stays
what one tile needs.

A tile sees an enlarged piece of the source and adds the detail that its prompt suggests, at low strength. Tiles overlap and
are blended; those of a tiling picture go round its border. (Known as "SD upscale" in the community's web UIs.)
"""
from __future__ import annotations

import numpy as np
from PIL import Image

from ...protocol.messages import Source
from ...protocol.request import Request
from .. import sources
from ..tiles import Tiles, enlarged
from .plan import NOTHING, Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The result has exactly the request's size and the source's alpha. At strength 0 it is the enlarged source alone.
    Raises SourceUnusable."""
    return plan(*sources.open_source(inputs.get("source")), request, multiple)


def plan(picture: Image.Image, alpha: Image.Image | None, request: Request, multiple: int) -> Plan:
    """The same for a picture (RGB, and its alpha as L or None) that is open already."""
    size = (request.width, request.height)
    alpha = alpha and enlarged(alpha, size, request.tiling)

    def finish(painted: Image.Image) -> Image.Image:
        return sources.with_alpha(painted, alpha)

    tiles, notes = Tiles.of(size, request.tile, multiple, request.tiling), ()
    if steps(request, multiple) == 0:
        tiles, notes = None, () if request.strength == 0 else (
            f"At strength {request.strength:g}, {request.steps} steps leave nothing to refine: the picture is only enlarged.",)

    def refined(large: Image.Image) -> Plan:
        if tiles is None:
            return Plan({}, NOTHING, unchanged=finish(large), notes=notes)
        return Plan({"strength": request.strength, "width": tiles.size[0], "height": tiles.size[1]}, tiles.size, finish,
                    tiles=tiles, source=np.asarray(large))

    if request.upscaler:
        return Plan({}, NOTHING if tiles is None else tiles.size, notes=notes, small=picture, refined=refined)
    return refined(enlarged(picture, size, request.tiling))


def steps(request: Request, multiple: int) -> int:
    """How many times the refining denoises, all tiles together."""
    tiles = Tiles.of((request.width, request.height), request.tile, multiple, request.tiling)
    return len(tiles.places) * int(request.steps * request.strength)
