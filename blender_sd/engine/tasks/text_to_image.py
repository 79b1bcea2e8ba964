"""Text → image, enlarged in a second pass if the request has a scale, or asks for the high-res fix."""
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
    painted = size if request.first_size == size else round_size(*request.first_size, multiple)
    layout = regions.lay_out(request, inputs, painted, painted)
    return Plan({"width": painted[0], "height": painted[1]}, painted, refine=_enlarging(request), layout=layout,
                notes=layout.notes)


def _enlarging(request: Request) -> Request | None:
    """Return the request of the second pass, which enlarges and, for the high-res fix, refines with the same prompt;
    None without one.
    """
    task = request.task
    if request.first_size == request.final_size:
        return None
    width, height = request.final_size
    strength = task.refine_strength if task.refine_scale > 1.0 else 0.0
    second = Upscale(strength=strength, tile=task.tile, upscaler=task.upscaler,
                     upscaler_noise=task.upscaler_noise)
    return replace(request, task=second, width=width, height=height)
