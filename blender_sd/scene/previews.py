"""The live preview of a job, drawn over the Image Editors in which its result will end.

It is in no datablock, so nothing of it can be saved, undone or left behind, and a job does not mark the file as
changed.
"""
from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from . import drawing, screens, targets
from .targets import Target

_BACKDROP = np.full((1, 1, 3), 48, np.uint8)  # the background of an empty Image Editor
_TOUCHES = 1.0  # pixels by which the preview may miss the image below it without a backdrop


@dataclass(frozen=True)
class _Preview:
    """A preview in the editors with these pointers, at the place that a picture of `size` (width, height) will have."""

    picture: drawing.Picture
    size: tuple[int, int]
    spaces: frozenset[int]


_shown: _Preview | None = None
_handler: object | None = None


def show_preview(pixels: np.ndarray, size: tuple[int, int], target: Target | None = None) -> None:
    """Draw a preview over the Image Editors in which a result will be shown, as large as it will be shown there.

    Args:
        pixels: H×W×3 uint8 sRGB, row 0 on top.
        size: (width, height) of the result in pixels.
        target: Where the result goes; None for a new image.
    """
    global _shown, _handler
    spaces = targets.viewers_of(target) if target is not None else screens.viewers(None, None, needed=True)
    if _shown is None and not spaces:
        return
    _shown = _Preview(drawing.Picture(pixels), size, frozenset(space.as_pointer() for space in spaces))
    if _handler is None:
        _handler = bpy.types.SpaceImageEditor.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")
    screens.redraw("IMAGE_EDITOR")


def clear_preview() -> None:
    """Remove the preview. Does nothing if there is none."""
    global _shown, _handler
    _shown = None
    if _handler is not None:
        bpy.types.SpaceImageEditor.draw_handler_remove(_handler, "WINDOW")
        _handler = None
        screens.redraw("IMAGE_EDITOR")


# ---- inside --------------------------------------------------------------------------------------------------------


def _draw() -> None:
    space, region = bpy.context.space_data, bpy.context.region
    if _shown is None or space.as_pointer() not in _shown.spaces or space.mode == "UV":
        return  # UV Editors: showing the result is early enough
    view = region.view2d
    low, high = view.view_to_region(0, 0, clip=False), view.view_to_region(1, 1, clip=False)
    # Blender keeps zoom and middle when an editor's image changes
    half = [_shown.size[axis] * space.zoom[axis] / 2 for axis in (0, 1)]
    middle = [(low[axis] + high[axis]) / 2 for axis in (0, 1)]
    sides = (region.width, region.height)
    if any(half[axis] + _TOUCHES < (high[axis] - low[axis]) / 2 for axis in (0, 1)):  # the image below would stick out
        drawing.draw_over(drawing.Picture(_BACKDROP), (0.0, 0.0, 1.0, 1.0))
    drawing.draw_over(_shown.picture, (*((middle[axis] - half[axis]) / sides[axis] for axis in (0, 1)),
                                       *((middle[axis] + half[axis]) / sides[axis] for axis in (0, 1))))
