"""Text → image."""
from __future__ import annotations

from ...protocol.errors import InvalidRequest
from ...protocol.messages import Source
from ...protocol.request import Request, round_size
from .plan import Plan

AUTO_CLASS = "AutoPipelineForText2Image"


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The picture is painted at exactly the request's size. Raises InvalidRequest where the model cannot: `multiple`
    is what both sides must be multiples of, in pixels."""
    size = (request.width, request.height)
    if request.width % multiple or request.height % multiple:
        width, height = round_size(*size, multiple)
        raise InvalidRequest(f"This model cannot paint {size[0]} × {size[1]} pixels: both sides must be multiples of {multiple}.",
                             f"Use {width} × {height}.")
    return Plan({"width": request.width, "height": request.height}, size)
