"""Define a job: a request on its way. It is a small state machine that changes only when its session is pumped."""
from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from statistics import median
from threading import Event
from typing import Any, Protocol

import numpy as np

from ..core.errors import JobCancelled, SDError, error_of_kind
from ..core.request import Request
from ..protocol.messages import (
    Cancelled, Failed, Finished, FrameDone, Loading, Note, Result, Stage, Step, text_of,
)
from .inbox import Pumped, pump_until

log = logging.getLogger("blender_sd")

STATES = ("queued", "loading", "running", "paused", "finished", "cancelled", "failed")
_DONE = STATES[4:]
_WINDOW = 8  # frames by whose pace the rest is estimated
_PACES = 5  # recent steps that count; their median is stable even if they differ
_LOOK = 0.1  # seconds between two looks at whether a job was cancelled
_ALIKE = 1.5  # two steps agree if one took at most this many times as long as the other


@dataclass(frozen=True)
class Prepared:
    """Sent by the background thread: the job's request is complete, with the digests of its input pictures."""

    job: str
    request: Request


@dataclass(frozen=True, eq=False)
class Turn:
    """Sent by the background thread, which waits for the answer: something that the thread that pumps has to do."""

    job: str
    work: Callable[[], Any]
    answer: SimpleQueue = field(default_factory=SimpleQueue)

    def take(self) -> None:
        """Do it, on the thread that pumps."""
        try:
            self.answer.put(self.work())
        except SDError as error:
            self.answer.put(error)
        except Exception as error:  # the thread that waits must hear of it
            self.answer.put(SDError("The scene could not be read.", "", text_of(error)))

    def wait(self, cancelled: Event) -> Any:
        """Return the answer, on the background thread. Raise SDError as `work` does; JobCancelled if it was cancelled
        meanwhile."""
        while not cancelled.is_set():
            with suppress(Empty):
                answer = self.answer.get(timeout=_LOOK)
                if isinstance(answer, SDError):
                    raise answer
                return answer
        raise JobCancelled("Cancelled.")


def _agree(paces: list[float]) -> bool:
    return len(paces) == 2 and max(paces) <= _ALIKE * min(paces)


class Owner(Pumped, Protocol):
    """The part of a session that a job needs."""

    before_turn: Callable[[bool], None]

    def cancel(self, job: Job) -> bool: ...


class Job:
    """A request on its way, as the artist sees it. Only `Session.pump` changes it, on the thread that pumps.

    Attributes:
        state: One of STATES.
        step, steps: The finished steps of the current picture (0 before the first), and all of its steps.
        image, images: The current picture (0 before the first), and the number of pictures.
        frames, frames_done: Of an animation, how many frames there are and how many are done, of what is being done
            now: rendering, then painting; 0 for other jobs.
        eta: Seconds left, or None until two steps of this job agree on their pace.
        text: What is being done.
        notes: Facts worth knowing that are not errors.
        lora_notes: Those that are about a LoRA, by its name.
        preview: The newest preview, h×w×3 uint8 sRGB, row 0 on top, or None.
        preview_serial: A number that grows with each preview.
        results: The finished pictures.
        covers: Called on the main thread: returns the faces on which the previews are seen; None for those of `target`.
        folder: Of an animation, the folder of its frames; such a job can be paused.
        target, placement: Where the first picture goes, and where it has ended.
        background: Whether all other jobs come first (see `Session.submit`).
        error: Why a failed job failed.
        cancelling: Whether it was asked to cancel: then it ends as cancelled without a result, whatever the engine
            still sends.
        pausing: Whether it was asked to pause: then it is cancelled, and waits to be resumed.
    """

    def __init__(self, id: str, request: Request, owner: Owner, label: str = "",
                 commit: Callable[[Job], list] | None = None,
                 background: bool = False, recall: Callable[[list, tuple[Result, ...]], list] | None = None) -> None:
        self.id = id
        self.request = request
        self.label = label
        self.commit = commit
        self.background = background
        self.state = "queued"
        self.step, self.steps = 0, request.steps
        self.image, self.images = 0, request.pictures
        self.frames = self.frames_done = 0
        self.eta: float | None = None
        self.text = "Waiting"
        self.notes: list[str] = []
        self.lora_notes: dict[str, list[str]] = {}
        self.preview: np.ndarray | None = None
        self.preview_serial = 0
        self.results: tuple[Result, ...] = ()
        self._outputs: list = []
        self._recall = recall
        self.error: SDError | None = None
        self.cancelling = self.pausing = False
        self._owner = owner
        self._marks: deque[tuple[float, int]] = deque(maxlen=_WINDOW)  # times, each with the frames done by then
        self._last: tuple[int, float] | None = None  # the finished steps of all pictures, and the time
        self._paces: list[float] = []  # seconds that each of the newest steps took
        self._committing = False
        self.covers: Callable[[], list] | None = None
        self.folder = ""
        self.target: Any = None
        self.placement: Any = None

    def __repr__(self) -> str:
        return f"<Job {self.label or self.request.prompt[:30]!r} {self.state} {self.progress:.0%}>"

    @property
    def done(self) -> bool:
        """Whether the job has ended in any way."""
        return self.state in _DONE

    @property
    def outputs(self) -> list:
        """What `commit` returned (without `commit`, the results) as it is now; see `recall` in `Session.submit`."""
        return self._outputs if self._recall is None else self._recall(self._outputs, self.results)

    @property
    def progress(self) -> float:
        """The finished share of all steps of all pictures, 0 to 1."""
        if self.state == "finished":
            return 1.0
        if self.frames:
            return min(1.0, self.frames_done / self.frames)
        return min(1.0, self._steps_done() / max(1, self.steps * self.images))

    def cancel(self) -> bool:
        """Cancel the job. Return False if it had ended already."""
        return self._owner.cancel(self)

    def result(self, timeout: float | None = None) -> list:
        """Pump the session on this thread until the job has ended, and return `outputs`.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            SDError: The job failed.
            JobCancelled: It was cancelled.
            TimeoutError: It is still running, and goes on.
        """
        if self._committing:
            raise RuntimeError("a job's own commit cannot wait for its result")
        if not self.done:
            self._owner.before_turn(True)
        pump_until(lambda: self.done, self._owner, timeout, "The job")
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise JobCancelled("The job was cancelled.")
        return self.outputs

    # ---- changes, made by Session.pump -----------------------------------------------------------------------------

    def apply(self, event: object, at: float) -> bool:
        """Apply an event that happened at the time `at` (`time.monotonic()`). Return whether anything changed."""
        if self.done or self._committing:
            return False
        change = self._CHANGES.get(type(event))
        if change is None:
            return False
        change(self, event, at)
        return True

    def _prepared(self, event: Prepared, at: float) -> None:
        self.request = event.request

    def _turned(self, event: Turn, at: float) -> None:
        event.take()

    def _loading(self, event: Loading, at: float) -> None:
        self.state, self.text = "loading", event.text
        self._last, self._paces, self.eta = None, [], None  # a newly loaded model may have another pace

    def _note(self, event: Note, at: float) -> None:
        if event.text not in self.notes:
            self.notes.append(event.text)
            if event.about:
                self.lora_notes.setdefault(event.about, []).append(event.text)

    def _stepped(self, event: Step, at: float) -> None:
        self.state = "running"
        before = self.step if self.image == event.image else 0
        self.step, self.steps, self.image, self.images = event.step, event.steps, event.image, event.images
        if event.preview is not None:
            self.preview = event.preview
            self.preview_serial += 1
        if self.frames:  # the steps of one keyframe tell little about all frames
            self.text = f"Frame {min(self.frames_done + 1, self.frames)} of {self.frames}, step {event.step}"
            return
        self.text = f"Step {event.step} of {event.steps}"
        if event.images > 1:
            self.text += f", picture {event.image} of {event.images}"
        self._measure(at, before)

    def _staged(self, event: Stage, at: float) -> None:
        self._count(event.done, event.total, at)
        self.text = f"{event.text}, frame {min(event.done + 1, event.total)} of {event.total}"

    def _framed(self, event: FrameDone, at: float) -> None:
        self._count(event.done, event.total, at)
        self.text = f"Frame {event.done} of {event.total}"
        if event.preview is not None:
            self.preview = event.preview
            self.preview_serial += 1

    def _count(self, done: int, total: int, at: float) -> None:
        """Take note that so many of an animation's frames are done, and estimate the rest by the newest ones."""
        self.state = "running"
        if self._marks and (done < self._marks[-1][1] or total != self.frames):
            self._marks.clear()  # something else is being done now
        self.frames_done, self.frames = done, total
        self._marks.append((at, done))
        (first, before), (last, now) = self._marks[0], self._marks[-1]
        self.eta = (total - now) * (last - first) / (now - before) if now > before else None

    def _measure(self, at: float, before: int) -> None:
        """Measure the pace of this job's own steps.

        A picture's first step tells nothing about the others (shaders are compiled, memory is allocated), nor does the
        gap in which a picture is decoded and saved. There is no estimate until two steps agree.

        Args:
            at: The time of the event.
            before: The finished steps of the same picture before this event; 0 for none.
        """
        done = self._steps_done()
        if self._last is not None and before > 0 and (count := done - self._last[0]) > 0:
            self._paces += [(at - self._last[1]) / count] * min(count, _PACES)
            del self._paces[:-_PACES]
        self._last = (done, at)
        if self.eta is not None or len(self._paces) == _PACES or _agree(self._paces[-2:]):
            self.eta = median(self._paces) * max(0, self.steps * self.images - done)

    def _steps_done(self) -> int:
        return max(0, self.image - 1) * self.steps + self.step

    def _finished(self, event: Finished, at: float) -> None:
        if self.cancelling:
            self._cancelled(event, at)
            return
        self.results = event.results
        self._committing = True
        try:
            self._outputs = list(event.results) if self.commit is None else self.commit(self)
        except SDError as error:
            self._fail(self._kept(error))
        except Exception as error:  # a failing commit must not break the timer that pumps
            log.exception("bringing in the result of job %s failed", self.id)
            self._fail(self._kept(SDError("The picture is made, but it could not be brought in.", "", text_of(error))))
        else:
            self._end("finished", "Finished")
        finally:
            self._committing = False

    def _kept(self, error: SDError) -> SDError:
        """Return `error` with the addition that the pictures are safe."""
        folder = os.path.dirname(self.results[0].path) if self.results else ""
        if not folder:
            return error
        hint = f"{error.hint} The picture is kept in {folder}.".strip()
        extended = error_of_kind(error.kind, error.message, hint, error.detail)
        extended.__cause__ = error
        return extended

    def _cancelled(self, event: object, at: float) -> None:
        if self.pausing and not self.cancelling:
            self.state, self.text, self.eta = "paused", "Paused", None
            self._marks.clear()
        else:
            self._end("cancelled", "Cancelled")

    def _failed(self, event: Failed, at: float) -> None:
        if self.cancelling or self.pausing:
            log.info("job %s failed while it was being cancelled %s", self.id, event.logged)
            self._cancelled(event, at)
        else:
            self._fail(event.error())

    def _fail(self, error: SDError) -> None:
        self.error = error
        self._end("failed", error.message)

    def _end(self, state: str, text: str) -> None:
        self.state, self.text, self.eta = state, text, None
        self.preview = None  # a half-denoised picture must not look like a result
        self.preview_serial += 1
        self.commit = self.covers = None  # they hold what was read of the scene: of a dense mesh, hundreds of megabytes

    _CHANGES: dict[type, Callable[[Job, Any, float], None]] = {
        Prepared: _prepared, Turn: _turned, Loading: _loading, Note: _note, Step: _stepped, Stage: _staged,
        FrameDone: _framed,
        Finished: _finished, Cancelled: _cancelled, Failed: _failed,
    }
