"""Outlines of a scene's things, rendered by a Blender without a window: nobody waits for them."""
from __future__ import annotations

from ..core.errors import EngineDied
from ..protocol.messages import Outline
from . import second_blender
from .runtime import runtime


def render(request: Outline) -> None:
    """Start another Blender, have it carry out a request, and wait for it, on any thread.

    Raises:
        SDError: It could not.
        JobCancelled: Everything is being stopped.
    """
    died = EngineDied("The Blender that draws the outlines of regions stopped.",
                      "Start again, or render with Cryptomatte (View Layer ▸ Passes).")
    with runtime.helper(runtime.record_pipeline()) as pipeline:
        second_blender.carry_out(pipeline, request, lambda event: None, lambda: False, died)
