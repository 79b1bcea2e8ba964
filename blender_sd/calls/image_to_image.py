"""Restyle a picture: a render, the view, an image or a file."""
from __future__ import annotations

from typing import Any

from ..core.request_builder import checked_size
from ..core.tasks import IMAGE_TO_IMAGE
from ..session.job import Job
from .arguments import task_call
from .submission import open_source, prepare, submit, with_regions


@task_call(IMAGE_TO_IMAGE)
def restyle(source: Any, prompt: str, *, size: tuple[int, int] | None = None, **settings: Any) -> Job:
    """Paint over a picture. Return its job at once.

    The result has exactly `size`, by default the source's own; alpha is kept.

    Args:
        source: An image datablock; "RENDER" (the Render Result as shown); "CAMERA" (rendered now, which waits);
            "VIEWPORT" (the 3D View as seen; needs a window); a path (also of a GIF, AVIF or HEIC); a PIL image of any
            mode; or an array H×W or H×W×1 to 4 (uint8, uint16, bool, or float 0 to 1; sRGB as displayed, row 0 on top).
        prompt: What the picture should show.
        size: Width and height of the result in pixels.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used. Settings are checked first: nothing is rendered in vain.
    """
    order = with_regions(prepare(IMAGE_TO_IMAGE, prompt, settings), source)
    size = size and checked_size(size)
    data, source_size = open_source(source, bool(order.regions), any(region.keep for region, _ in order.regions))
    return submit(order, {"source": data}, size=size or source_size, covers=source_size, given=source)


def check_restyle(prompt: str, **settings: Any) -> None:
    """Raise SDError where `restyle` would refuse these settings, before a picture is rendered for it."""
    with_regions(prepare(IMAGE_TO_IMAGE, prompt, settings), "CAMERA")
