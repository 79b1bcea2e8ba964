"""Refine an enlarged picture tile by tile: the plan of the task Upscale and of the high-res fix's second pass."""
from __future__ import annotations

import numpy as np
from PIL import Image

from ...core.request import Request
from ..conditioning import sources
from .plan import NOTHING, Plan
from .tiles import Tiles, enlarged


def plan(picture: Image.Image, alpha: Image.Image | None, request: Request, multiple: int) -> Plan:
    """Return the plan that enlarges and refines a picture to the request's size.

    Args:
        picture: The picture, RGB.
        alpha: Its alpha as an L image, or None.
        request: The request for one picture.
        multiple: Pixels that both sides of a tile must be multiples of.
    """
    size, strength = (request.width, request.height), request.task.strength
    alpha = alpha and enlarged(alpha, size, request.tiling)

    def finish(painted: Image.Image) -> Image.Image:
        return sources.with_alpha(painted, alpha)

    tiles, notes = Tiles.of(size, request.task.tile, multiple, request.tiling), ()
    if steps(request, multiple) == 0:
        tiles, notes = None, () if strength == 0 else (
            f"At strength {strength:g}, {request.steps} steps leave nothing to refine: the picture is only "
            "enlarged.",)

    def refined(large: Image.Image) -> Plan:
        if tiles is None:
            return Plan({}, NOTHING, unchanged=finish(large), notes=notes)
        return Plan({"strength": strength, "width": tiles.size[0], "height": tiles.size[1]}, tiles.size, finish,
                    tiles=tiles, source=np.asarray(large))

    if request.upscaler:
        return Plan({}, NOTHING if tiles is None else tiles.size, notes=notes, small=picture, refined=refined)
    return refined(enlarged(picture, size, request.tiling))


def steps(request: Request, multiple: int) -> int:
    """Return how many steps the refining takes, over all tiles."""
    tiles = Tiles.of((request.width, request.height), request.task.tile, multiple, request.tiling)
    return len(tiles.places) * int(request.steps * request.task.strength)
