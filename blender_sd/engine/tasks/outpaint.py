"""Image → larger image: the source stays where it is, and the space beyond its borders is painted."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from ...core.common_settings import MIN_SIDE
from ...core.errors import InvalidRequest
from ...core.request import Request
from ...core.tasks import Inpaint
from ...protocol.messages import Source
from ..conditioning import sources
from ..denoise.plan import Plan
from . import inpaint


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of the request's size; the source takes what the four margins leave.

    `overlap` pixels of the source are repainted along the new parts and blended in; all others stay as they are.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "source" is used.
        multiple: Pixels that both sides of what is painted must be multiples of.

    Raises:
        SourceUnusable: The source is missing or broken.
        InvalidRequest: The margins leave less than `MIN_SIDE` pixels for the source.
    """
    picture, alpha = sources.open_source(inputs.get("source"))
    task = request.task
    inner = (request.width - task.left - task.right, request.height - task.top - task.bottom)
    if min(inner) < MIN_SIDE:
        raise InvalidRequest(f"The margins leave {inner[0]} × {inner[1]} pixels for the picture.",
                             "Make the margins smaller, or the result larger.")
    picture, alpha = sources.resized(picture, alpha, inner)
    place = (task.left, task.top)
    canvas = Image.new("RGB", (request.width, request.height))
    canvas.paste(picture, place)
    mask = np.ones((request.height, request.width), bool)
    mask[place[1] : place[1] + inner[1], place[0] : place[0] + inner[0]] = False
    if alpha is not None:
        canvas_alpha = Image.new("L", canvas.size, 0)
        canvas_alpha.paste(alpha, place)
        alpha = canvas_alpha
    inner_task = Inpaint(strength=task.strength, grow=task.overlap, feather=task.overlap)
    return inpaint.plan(canvas, alpha, mask, replace(request, task=inner_task), multiple, opaque=True)
