"""Texture → the same texture without a seam: a band across the border is painted anew so that both sides meet.

The picture is rolled by half, which brings the border to the middle; there the band is inpainted while the model's padding
wraps; then it is rolled back. What lies outside the band stays as it was, bit for bit.
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from ...protocol.errors import InvalidRequest
from ...protocol.messages import Source
from ...protocol.request import Request
from .. import sources
from . import inpaint
from .plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The result has exactly the request's size and the source's alpha. `band`: the painted share of a side; `tiling` says
    which borders. Raises SourceUnusable, and InvalidRequest without an axis."""
    if request.tiling == "none":
        raise InvalidRequest("No axis was chosen along which the texture is to repeat.", "Set Tiling to X, Y or Both.")
    picture, alpha = sources.open_source(inputs.get("source"))
    picture, alpha = sources.resized(picture, alpha, (request.width, request.height))
    shift = (picture.height // 2 if "y" in request.tiling else 0, picture.width // 2 if "x" in request.tiling else 0)
    mask = np.zeros((picture.height, picture.width), bool)
    halves = [max(2, round(request.band * side / 2)) for side in mask.shape]
    if shift[0]:
        mask[shift[0] - halves[0] : shift[0] + halves[0]] = True
    if shift[1]:
        mask[:, shift[1] - halves[1] : shift[1] + halves[1]] = True
    # The old seam lies in the middle: there the new picture has to count whole.
    feather = min(request.mask_feather, *(half // 2 for half, moved in zip(halves, shift, strict=True) if moved))
    made = inpaint.plan(_rolled(picture, shift), alpha and _rolled(alpha, shift), mask, replace(request, mask_feather=feather), multiple)
    return replace(made.then(lambda result: _rolled(result, (-shift[0], -shift[1]))), fit=lambda other: made.fit(_rolled(other, shift)))


def _rolled(picture: Image.Image, shift: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(picture), shift, (0, 1)))
