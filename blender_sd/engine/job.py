"""A request on its way through the engine, and how it reports."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.errors import JobCancelled
from ..core.request import Request
from ..protocol.messages import Event, Generate, Loading, Note, Step
from .denoise.painting import Listener

Emit = Callable[[Event], None]
Cancel = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """A request on its way through the engine.

    Attributes:
        message: The session's message, with the names of models and files as the person gave them.
        emit: Receives the job's events.
        cancelled: Returns whether the job was cancelled; called often, from any thread.
    """

    message: Generate
    emit: Emit
    cancelled: Cancel

    @property
    def request(self) -> Request:
        """Return the request of all pictures."""
        return self.message.request

    def check(self) -> None:
        """Raise JobCancelled if the job was cancelled."""
        if self.cancelled():
            raise JobCancelled("The job was cancelled.")

    def loading(self, text: str) -> None:
        """Report what is being loaded."""
        self.emit(Loading(self.message.job, text))

    def note(self, text: str, about: str = "") -> None:
        """Report what the artist should know, also of the LoRA called `about`."""
        self.emit(Note(self.message.job, text, about))

    def step(self, done: int, steps: int, number: int, preview: np.ndarray | None = None) -> None:
        """Report that `done` of `steps` steps of the picture with that number (from 1) are done."""
        self.emit(Step(self.message.job, done, steps, number, self.request.pictures, preview))

    def listener(self, number: int, preview_px: int) -> Listener:
        """Return a listener that reports the progress of the picture with that number (from 1)."""
        return Listener(self.check, lambda done, steps, preview: self.step(done, steps, number, preview), self.note,
                        preview_px)
