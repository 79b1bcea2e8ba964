"""Remember whether a picture of the Render Result holds the stamp (Output ▸ Metadata ▸ Burn Into Image).

Blender cannot tell afterwards.
"""
from __future__ import annotations

import bpy

from ..core.errors import SourceUnusable
from . import handlers

_LINES = ("date", "time", "render_time", "frame", "frame_range", "memory", "hostname", "camera", "lens", "scene",
          "note", "marker",
          "filename", "sequencer_strip")  # the settings `use_stamp_…`

# `session_uid` of the Render Result and number of its slot -> of the last render into it
_burnt: dict[tuple[int, int], bool] = {}


def burns(scene: bpy.types.Scene) -> bool:
    """Return whether a render of `scene` gets a stamp."""
    render = scene.render
    return render.use_stamp and any(getattr(render, f"use_stamp_{line}") for line in _LINES)


def note(scene: bpy.types.Scene, *_: object) -> None:
    """Remember whether the render of `scene` that has just ended got a stamp; a handler for `render_complete`."""
    image = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    if image is not None:
        _burnt[image.session_uid, image.render_slots.active_index] = burns(scene)


def check(image: bpy.types.Image, slot: int, scene: bpy.types.Scene) -> None:
    """Raise SourceUnusable if the Render Result `image` has a stamp in that slot.

    If no handler has seen the render, for example because it is running, the settings of `scene` count.
    """
    known = None if handlers.in_render() else _burnt.get((image.session_uid, slot))
    if burns(scene) if known is None else known:
        raise SourceUnusable("The stamp is burnt into the Render Result, and would be painted over as a part of the "
                             "picture.",
                             "Choose Camera as the source, or switch Burn Into Image off (Output ▸ Metadata) and "
                             "render again.")
