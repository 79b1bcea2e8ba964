"""Have a Blender without a window carry out a request: it records animations, makes movies and renders outlines."""
from __future__ import annotations

from collections.abc import Callable

from ..core.errors import EngineDied, JobCancelled
from ..protocol import endings
from ..protocol.messages import Cancelled, Encode, Event, Failed, Installed, Outline, Record
from ..session.process import ProcessPipeline


def carry_out(pipeline: ProcessPipeline, request: Record | Encode | Outline, emit: Callable[[Event], None],
              cancelled: Callable[[], bool], died: EngineDied) -> None:
    """Have it done, and wait for it, on any thread.

    Args:
        pipeline: The process.
        request: What it is asked for.
        emit: Takes its events, but for the ending.
        cancelled: Returns whether to stop.
        died: What is raised if the process ends before it is done, with the details of that.

    Raises:
        SDError: It could not.
        JobCancelled: It was cancelled.
    """
    ended: list[Event] = []

    def take(event: Event) -> None:
        if isinstance(event, (Installed, Cancelled, Failed)):
            ended.append(event)
        else:
            emit(event)

    endings.run(pipeline, request, take, cancelled)
    if isinstance(ended[-1], Cancelled):
        raise JobCancelled("The job was cancelled.")
    if isinstance(ended[-1], Failed):
        error = ended[-1].error()
        if isinstance(error, EngineDied):
            raise EngineDied(died.message, died.hint, error.detail)
        raise error
