"""A job: a request on its way. A small state machine that changes only when its session is pumped."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..protocol.errors import JobCancelled, SDError, error_of_kind
from ..protocol.messages import Cancelled, Failed, Finished, Loading, Note, Result, Step, text_of
from ..protocol.request import Request
from .inbox import Pumped, pump_until

log = logging.getLogger("blender_sd")

STATES = ("queued", "loading", "running", "finished", "cancelled", "failed")
_DONE = STATES[3:]
_SMOOTHING = 0.3  # share of the newest step in the mean time per step


@dataclass(frozen=True)
class Prepared:
    """From the background thread: the job's request is complete, its input pictures' digests included."""

    job: str
    request: Request


class Owner(Pumped, Protocol):
    """What a job needs of its session."""

    def cancel(self, job: Job) -> bool: ...


class Job:
    """One order, as the artist sees it. Read it freely; only `Session.pump` changes it, on the thread that pumps.

    `state` is one of STATES. `progress` runs from 0 to 1 over all pictures; `step` of `steps` of picture `image` of
    `images` (from 1; 0 before the first) is done. `eta`: seconds left, None while unknown. `text`: what is going on.
    `notes`: things worth knowing that are no errors. `preview`: the newest, h×w×3 uint8 sRGB, row 0 on top, or None;
    `preview_serial` grows with each. `results`: the finished pictures. `outputs`: what `commit` returned, or the results
    where there is none. `behind`: see `Session.submit`. `error`: why a failed job failed. `cancelling`: cancel was asked;
    whatever the engine still says, the job ends as cancelled and offers no result.
    """

    def __init__(self, id: str, request: Request, owner: Owner, label: str = "", commit: Callable[[Job], list] | None = None,
                 behind: bool = False) -> None:
        self.id = id
        self.request = request
        self.label = label
        self.commit = commit
        self.behind = behind
        self.state = "queued"
        self.step, self.steps = 0, request.steps
        self.image, self.images = 0, request.pictures
        self.eta: float | None = None
        self.text = "Waiting"
        self.notes: list[str] = []
        self.preview: np.ndarray | None = None
        self.preview_serial = 0
        self.results: tuple[Result, ...] = ()
        self.outputs: list = []
        self.error: SDError | None = None
        self.cancelling = False
        self._owner = owner
        self._last: tuple[int, float] | None = None  # steps done in all, and when
        self._pace: float | None = None  # seconds per step
        self._committing = False

    def __repr__(self) -> str:
        return f"<Job {self.label or self.request.prompt[:30]!r} {self.state} {self.progress:.0%}>"

    @property
    def done(self) -> bool:
        """Whether the job has ended, in whichever way."""
        return self.state in _DONE

    @property
    def progress(self) -> float:
        """The share of all steps of all pictures that is done, 0 to 1."""
        if self.state == "finished":
            return 1.0
        return min(1.0, self._steps_done() / max(1, self.steps * self.images))

    def cancel(self) -> bool:
        """Ask for the job's end. From then on it ends as cancelled. False where it had ended already."""
        return self._owner.cancel(self)

    def result(self, timeout: float | None = None) -> list:
        """Pump the session on this thread until the job has ended, and return `outputs`.

        `timeout`: seconds, None = without limit. Raises the job's error, JobCancelled, or TimeoutError (the job goes on).
        """
        if self._committing:
            raise RuntimeError("a job's own commit cannot wait for its result")
        pump_until(lambda: self.done, self._owner, timeout, "The job")
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise JobCancelled("The job was cancelled.")
        return self.outputs

    # ---- changes, made by Session.pump -----------------------------------------------------------------------------

    def apply(self, event: object, at: float) -> bool:
        """Take in one event that happened at `at` (time.monotonic); whether it changed anything."""
        if self.done or self._committing:
            return False
        change = self._CHANGES.get(type(event))
        if change is None:
            return False
        change(self, event, at)
        return True

    def _prepared(self, event: Prepared, at: float) -> None:
        self.request = event.request

    def _loading(self, event: Loading, at: float) -> None:
        self.state, self.text = "loading", event.text
        self._last = None

    def _note(self, event: Note, at: float) -> None:
        if event.text not in self.notes:
            self.notes.append(event.text)

    def _stepped(self, event: Step, at: float) -> None:
        self.state = "running"
        same_picture = self.image == event.image
        self.step, self.steps, self.image, self.images = event.step, event.steps, event.image, event.images
        self.text = f"Step {event.step} of {event.steps}"
        if event.images > 1:
            self.text += f", picture {event.image} of {event.images}"
        if event.preview is not None:
            self.preview = event.preview
            self.preview_serial += 1
        self._measure(at, same_picture)

    def _measure(self, at: float, same_picture: bool) -> None:
        """Keep the pace. A gap with a picture's end in it (decoding, saving) or with loading says nothing of a step."""
        done = self._steps_done()
        if self._last is not None and same_picture and done > self._last[0]:
            pace = (at - self._last[1]) / (done - self._last[0])
            self._pace = pace if self._pace is None else self._pace + _SMOOTHING * (pace - self._pace)
        self._last = (done, at)
        if self._pace is not None:
            self.eta = self._pace * max(0, self.steps * self.images - done)

    def _steps_done(self) -> int:
        return max(0, self.image - 1) * self.steps + self.step

    def _finished(self, event: Finished, at: float) -> None:
        if self.cancelling:
            self._cancelled(event, at)
            return
        self.results = event.results
        self._committing = True
        try:
            self.outputs = list(event.results) if self.commit is None else self.commit(self)
        except SDError as error:
            self._fail(self._kept(error))
        except Exception as error:  # a commit that breaks must not break the timer that pumps
            log.exception("bringing in the result of job %s failed", self.id)
            self._fail(self._kept(SDError("The picture is made, but it could not be brought in.", "", text_of(error))))
        else:
            self._end("finished", "Finished")
        finally:
            self._committing = False

    def _kept(self, error: SDError) -> SDError:
        """`error`, with the word that the pictures are safe."""
        folder = os.path.dirname(self.results[0].path) if self.results else ""
        if not folder:
            return error
        hint = f"{error.hint} The picture is kept in {folder}.".strip()
        told = error_of_kind(error.kind, error.message, hint, error.detail)
        told.__cause__ = error
        return told

    def _cancelled(self, event: object, at: float) -> None:
        self._end("cancelled", "Cancelled")

    def _failed(self, event: Failed, at: float) -> None:
        if self.cancelling:
            log.info("job %s failed while it was being cancelled %s", self.id, event.logged)
            self._cancelled(event, at)
        else:
            self._fail(event.error())

    def _fail(self, error: SDError) -> None:
        self.error = error
        self._end("failed", error.message)

    def _end(self, state: str, text: str) -> None:
        self.state, self.text, self.eta = state, text, None
        self.preview = None  # a half-denoised picture is never mistaken for a result
        self.preview_serial += 1

    _CHANGES = {
        Prepared: _prepared, Loading: _loading, Note: _note, Step: _stepped,
        Finished: _finished, Cancelled: _cancelled, Failed: _failed,
    }
