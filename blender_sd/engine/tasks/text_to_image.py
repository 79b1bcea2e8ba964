"""Text → image; with a second, larger pass where the request asks for one (high-res fix)."""
from __future__ import annotations

from dataclasses import replace

from ...protocol.errors import InvalidRequest
from ...protocol.messages import Source
from ...protocol.request import MAX_SIDE, UPSCALE, Request, round_size
from .plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The picture is painted at exactly the request's size. Raises InvalidRequest where the model cannot: `multiple`
    is what both sides must be multiples of, in pixels."""
    size = (request.width, request.height)
    if request.width % multiple or request.height % multiple:
        width, height = round_size(*size, multiple)
        raise InvalidRequest(f"This model cannot paint {size[0]} × {size[1]} pixels: both sides must be multiples of {multiple}.",
                             f"Use {width} × {height}.")
    return Plan({"width": request.width, "height": request.height}, size, refine=_refining(request))


def _refining(request: Request) -> Request | None:
    """The second pass of the high-res fix: the same words over the enlarged picture."""
    if request.refine_scale <= 1.0:
        return None
    width, height = (min(MAX_SIDE, round(side * request.refine_scale)) for side in (request.width, request.height))
    return replace(request, task=UPSCALE, width=width, height=height, strength=request.refine_strength)
