"""Text → image, with a second, larger pass if the request asks for one (high-res fix)."""
from __future__ import annotations

from dataclasses import replace

from ...core.errors import InvalidRequest
from ...core.request import Request, round_size
from ...core.tasks import Upscale
from ...protocol.messages import Source
from ..conditioning import regions
from ..denoise.plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; the masks of regions are used.
        multiple: Pixels that both sides must be multiples of.

    Raises:
        InvalidRequest: A side is no multiple of `multiple`.
    """
    size = (request.width, request.height)
    if request.width % multiple or request.height % multiple:
        width, height = round_size(*size, multiple)
        raise InvalidRequest(
            f"This model cannot paint {size[0]} × {size[1]} pixels: both sides must be multiples of {multiple}.",
            f"Use {width} × {height}.")
    layout = regions.lay_out(request, inputs, size, size)
    return Plan({"width": request.width, "height": request.height}, size, refine=_refining(request), layout=layout,
                notes=layout.notes)


def _refining(request: Request) -> Request | None:
    """Return the request of the high-res fix's second pass, with the same prompt over the enlarged picture; None
    without one.
    """
    task = request.task
    if task.refine_scale <= 1.0:
        return None
    width, height = request.final_size
    second = Upscale(strength=task.refine_strength, tile=task.tile, upscaler=task.upscaler,
                     upscaler_noise=task.upscaler_noise)
    return replace(request, task=second, width=width, height=height)
