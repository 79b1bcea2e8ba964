"""Image → image at a strength (SDEdit, Meng et al. 2022): noise the source part of the way, then denoise."""
from __future__ import annotations

from PIL import Image

from ...core.request import Request
from ...protocol.messages import Source
from ..conditioning import sources
from ..denoise.plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size, with the source's alpha.

    If nothing would be denoised (strength 0, or less than one step), the source's pixels come back unchanged.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "source" is used.
        multiple: Pixels that both sides of what is painted must be multiples of.

    Raises:
        SourceUnusable: The source is missing, broken, or of a size that is not allowed.
    """
    picture, alpha = sources.open_source(inputs.get("source"))
    size = (request.width, request.height)
    picture, alpha = sources.resized(picture, alpha, size)
    if int(request.steps * request.task.strength) < 1:
        notes = () if request.task.strength == 0 else (nothing_to_denoise(request),)
        return Plan({}, size, unchanged=sources.with_alpha(picture, alpha), notes=notes)
    canvas = sources.padded(picture, multiple, request.tiling)

    def finish(painted: Image.Image) -> Image.Image:
        return sources.with_alpha(painted.crop((0, 0, *size)), alpha)

    arguments = {"image": canvas, "strength": request.task.strength, "width": canvas.width, "height": canvas.height}
    return Plan(arguments, canvas.size, finish, fit=lambda other: sources.padded(other, multiple, request.tiling))


def nothing_to_denoise(request: Request) -> str:
    """Return the note for a strength above 0 that amounts to less than one step."""
    return (f"At strength {request.task.strength:g}, {request.steps} steps leave nothing to denoise: the source comes "
            "back unchanged.")
