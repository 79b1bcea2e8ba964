"""Image → image at a strength (SDEdit, Meng et al. 2022): noise the source part of the way, then denoise."""
from __future__ import annotations

import numpy as np
from PIL import Image

from ...core.request import Request
from ...protocol.messages import Source
from ..conditioning import regions, sources
from ..denoise import holding
from ..denoise.plan import Plan
from . import deep_keeping, keeping


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size, with the source's alpha.

    If nothing would be denoised (strength 0, or less than one step), the source's pixels come back unchanged; so do
    those of regions that are kept.

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
    strength = holding.strongest(request)
    canvas = sources.padded(picture, multiple, request.tiling)
    layout = keeping.within_alpha(regions.lay_out(request, inputs, size, canvas.size), alpha)
    repaint = None if layout.kept is None else keeping.repainted(layout)
    deep, remark = deep_keeping.of_source(inputs.get("source"), size) if repaint is not None else (None, "")
    layout_notes = (*layout.notes, *filter(None, (remark,)))
    if int(request.steps * strength) < 1 or (repaint is not None and not repaint.any()):
        notes = () if strength == 0 else (nothing_to_denoise(request),) if repaint is None or repaint.any() else (
            "Everything in the picture is kept: the source comes back unchanged.",)
        unchanged = deep_keeping.with_depth(sources.with_alpha(picture, alpha), deep, None, layout)
        return Plan({}, size, unchanged=unchanged, notes=(*layout_notes, *notes))

    def fit(other: Image.Image) -> Image.Image:
        return sources.padded(other, multiple, request.tiling)

    def finish(painted: Image.Image) -> Image.Image:
        new = painted.crop((0, 0, *size))
        result = sources.with_alpha(new if layout.kept is None else keeping.over(picture, new, layout), alpha)
        return deep_keeping.with_depth(result, deep, new, layout)

    arguments = {"image": canvas, "strength": strength, "width": canvas.width, "height": canvas.height}
    mask = None
    if repaint is not None:
        mask = fit(Image.fromarray(repaint.astype(np.uint8) * 255).convert("RGB")).convert("L")
        arguments["mask_image"] = mask  # for pipelines that inpaint
    return Plan(arguments, canvas.size, finish, notes=layout_notes, fit=fit, layout=layout, repaint=mask)


def nothing_to_denoise(request: Request) -> str:
    """Return the note for a strength above 0 that amounts to less than one step."""
    return (f"At strength {request.task.strength:g}, {request.steps} steps leave nothing to denoise: the source comes "
            "back unchanged.")
