"""Outlines of a scene's things, rendered by a Blender without a window: nobody waits for them."""
from __future__ import annotations

from ..core.errors import EngineDied, JobCancelled
from ..protocol import endings
from ..protocol.messages import Cancelled, Event, Failed, Outline
from .runtime import runtime


def render(request: Outline) -> None:
    """Start another Blender, have it carry out a request, and wait for it, on any thread.

    Raises:
        SDError: It could not.
        JobCancelled: Everything is being stopped.
    """
    ended: list[Event] = []
    with runtime.helper(runtime.record_pipeline()) as pipeline:
        endings.run(pipeline, request, ended.append, lambda: False)
    if isinstance(ended[-1], Cancelled):
        raise JobCancelled("The job was cancelled.")
    if isinstance(ended[-1], Failed):
        error = ended[-1].error()
        if isinstance(error, EngineDied):
            raise EngineDied("The Blender that draws the outlines of regions stopped.",
                             "Start again, or render with Cryptomatte (View Layer ▸ Passes).", error.detail)
        raise error
