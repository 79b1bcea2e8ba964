"""What goes with a job that makes an animation: what is done before its frames are painted, and after."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..protocol.messages import Event, Finished
from ..protocol.shots import ShotOrder

Emit = Callable[[Event], None]


class Sequence(Protocol):
    """Record a shot, and bring in what was made of it. Both are called on the background thread, and must not use bpy.
    """

    def record(self, job: str, emit: Emit, cancelled: Callable[[], bool]) -> ShotOrder | None:
        """Make the shot's folder, or what is missing of it. Return what is asked of the engine; None for nothing.

        Args:
            job: The job's id.
            emit: Takes its events.
            cancelled: Returns whether to stop.

        Raises:
            SDError: The shot cannot be made.
            JobCancelled: It was cancelled.
        """

    def finish(self, made: Finished, emit: Emit, cancelled: Callable[[], bool]) -> Finished:
        """Return the ending of the job once all frames are on disk, with what was made of them. Raises as `record`."""
