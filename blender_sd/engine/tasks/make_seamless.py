"""Texture → the same texture without a seam: a band across the border is repainted so that both sides meet.

The picture is rolled by half its size, which brings the border to the middle. There the band is inpainted while the
model's padding wraps; then the picture is rolled back. Pixels outside the band stay bit for bit.
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from ...core.errors import InvalidRequest
from ...core.request import Request
from ...core.tasks import Inpaint
from ...protocol.messages import Source
from ..conditioning import sources
from ..denoise.plan import Plan
from . import inpaint


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size, with the source's alpha.

    The request's `band` is the repainted share of a side; `tiling` says which borders.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "source" is used.
        multiple: Pixels that both sides of what is painted must be multiples of.

    Raises:
        SourceUnusable: The source is missing or broken.
        InvalidRequest: The request's `tiling` is "none".
    """
    if request.tiling == "none":
        raise InvalidRequest("No axis was chosen along which the texture is to repeat.", "Set Tiling to X, Y or Both.")
    picture, alpha = sources.open_source(inputs.get("source"))
    picture, alpha = sources.resized(picture, alpha, (request.width, request.height))
    shift = (picture.height // 2 if "y" in request.tiling else 0, picture.width // 2 if "x" in request.tiling else 0)
    mask = np.zeros((picture.height, picture.width), bool)
    halves = [max(2, round(request.task.band * side / 2)) for side in mask.shape]
    if shift[0]:
        mask[shift[0] - halves[0] : shift[0] + halves[0]] = True
    if shift[1]:
        mask[:, shift[1] - halves[1] : shift[1] + halves[1]] = True
    # The old seam lies in the middle of the band, where the new picture must have its full weight.
    feather = min(request.task.feather, *(half // 2 for half, moved in zip(halves, shift, strict=True) if moved))
    band = replace(request, task=Inpaint(strength=request.task.strength, feather=feather))
    inner = inpaint.plan(_rolled(picture, shift), alpha and _rolled(alpha, shift), mask, band, multiple)
    return replace(inner.then(lambda result: _rolled(result, (-shift[0], -shift[1]))),
                   fit=lambda other: inner.fit(_rolled(other, shift)))


def _rolled(picture: Image.Image, shift: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(picture), shift, (0, 1)))
