"""Image → larger image: enlarged by an upscaler or by resampling, then refined by the model tile by tile.

Memory stays what one tile needs. A tile sees an enlarged piece of the source and adds the detail that its prompt
suggests, at low strength. Tiles overlap and are blended; those of a tiling picture wrap round its border. The
community's web UIs call this "SD upscale".
"""
from __future__ import annotations

from ...core.request import Request
from ...protocol.messages import Source
from ..conditioning import sources
from ..denoise import refining
from ..denoise.plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size, with the source's alpha.

    At strength 0 the result is the enlarged source itself.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "source" is used.
        multiple: Pixels that both sides of a tile must be multiples of.

    Raises:
        SourceUnusable: The source is missing or broken.
    """
    return refining.plan(*sources.open_source(inputs.get("source")), request, multiple)
