"""Restyle a picture: a render, the view, an image or a file."""
from __future__ import annotations

from typing import Any, Unpack

from ..core.request import IMAGE_TO_IMAGE, default
from ..session.job import Job
from . import request_builder
from .arguments import scene_call
from .request_builder import Settings
from .submission import open_source, resolve, submit_task


@scene_call
def restyle(source: Any, prompt: str, *, strength: float | None = None, size: tuple[int, int] | None = None,
            **settings: Unpack[Settings]) -> Job:
    """Paint over a picture. Return its job at once.

    The result has exactly `size`, by default the source's own; alpha is kept.

    Args:
        source: An image datablock; "RENDER" (the Render Result as shown); "CAMERA" (rendered now, which waits);
            "VIEWPORT" (the 3D View as seen; needs a window); a path (also of a GIF, AVIF or HEIC); a PIL image of any
            mode; or an array H×W or H×W×1 to 4 (uint8, uint16, bool, or float 0 to 1; sRGB as displayed, row 0 on top).
        prompt: What the picture should show.
        strength: 0 returns the source unchanged, 1 ignores it; None is the style's, or else 0.5.
        size: Width and height of the result in pixels.
        settings: As for `generate`.

    Raises:
        SDError: The source or the settings cannot be used.
    """
    info, prompt, merged, of_style = resolve(prompt, settings)  # before a render is made
    data, source_size = open_source(source)
    size = request_builder.checked_size(size or source_size)
    return submit_task(IMAGE_TO_IMAGE, info, prompt, size, {"source": data}, merged, given=source,
                       strength=of_style.get("strength", default("strength")) if strength is None else strength,
                       covers=source_size)
