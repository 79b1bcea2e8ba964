"""Image → larger image: the source stays where it is, and what lies beyond its borders is painted."""
from __future__ import annotations

import numpy as np
from PIL import Image

from ...protocol.errors import InvalidRequest
from ...protocol.messages import Source
from ...protocol.request import MIN_SIDE, Request
from .. import sources
from . import inpaint
from .plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The result has the request's size, of which the source takes what the four margins leave. `mask_grow` pixels of the
    source are painted over along the new parts, blended by `mask_feather`; all others stay as they are. Raises
    SourceUnusable, and InvalidRequest where the margins leave no room."""
    picture, alpha = sources.open_source(inputs.get("source"))
    inner = (request.width - request.expand_left - request.expand_right, request.height - request.expand_top - request.expand_bottom)
    if min(inner) < MIN_SIDE:
        raise InvalidRequest(f"The margins leave {inner[0]} × {inner[1]} pixels for the picture.",
                             "Make the margins smaller, or the result larger.")
    picture, alpha = sources.resized(picture, alpha, inner)
    place = (request.expand_left, request.expand_top)
    wide = Image.new("RGB", (request.width, request.height))
    wide.paste(picture, place)
    mask = np.ones((request.height, request.width), bool)
    mask[place[1] : place[1] + inner[1], place[0] : place[0] + inner[0]] = False
    if alpha is not None:
        wide_alpha = Image.new("L", wide.size, 0)
        wide_alpha.paste(alpha, place)
        alpha = wide_alpha
    return inpaint.plan(wide, alpha, mask, request, multiple, opaque=True)
