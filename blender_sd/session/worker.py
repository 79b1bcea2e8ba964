"""The background thread: it alone owns the queue's head and the pipeline, and it never touches bpy.

What it learns it posts to the session's inbox; it changes no job.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..protocol.errors import EngineDied, EngineMissing, SDError, SourceUnusable
from ..protocol.messages import (
    ENDINGS, Alive, Cancelled, Failed, Finished, Generate, Loading, Pipeline, Ready, Source, text_of,
)
from ..protocol.request import Request
from .job import Prepared

log = logging.getLogger("blender_sd")

SourceOrReader = Source | Callable[[], Source]


@dataclass(frozen=True)
class EngineState:
    """The engine's state as the session shows it. `status`: off, starting, ready, failed."""

    status: str
    info: Ready | None = None
    error: SDError | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """What the thread needs to carry out one job. `behind`: it waits for all that are not, and gives way to them."""

    job: str
    request: Request
    folder: str
    output: str
    inputs: dict[str, SourceOrReader]
    borrowed: str = ""
    behind: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


def _opened(role: str, source: SourceOrReader) -> Source:
    """The picture for `role` that `source` is or gives; raises SourceUnusable for one that cannot travel."""
    if callable(source):
        try:
            source = source()
        except OSError as error:
            raise SourceUnusable(f"The {role} image cannot be read.", f"{error.strerror or error}.", text_of(error)) from error
    if not isinstance(source, Source) or (source.pixels is None) == (source.encoded is None):
        raise SourceUnusable(f"The {role} image holds nothing.", "Choose another one.", repr(source)[:200])
    pixels = source.pixels
    if pixels is not None and (pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 4 or not pixels.size):
        raise SourceUnusable(f"The {role} image has no usable pixels.", "Choose another one.", f"{pixels.dtype} {pixels.shape}")
    if source.encoded is not None and not source.encoded:
        raise SourceUnusable(f"The {role} image's file is empty.", "Choose another one.")
    return source


class Worker:
    """A daemon thread with a queue of tasks and one pipeline, made by `factory` when it is first needed.

    `post` takes every event (messages.Event without Ready and Alive, plus Prepared and EngineState); it is called on
    this thread, and on the caller's for tasks that are cancelled before their turn.
    """

    def __init__(self, factory: Callable[[], Pipeline], post: Callable[[object], None]) -> None:
        self._factory = factory
        self._post = post
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._pending: list[Task] = []
        self._current: Task | None = None
        self._busy = False  # with a task or with starting the engine
        self._warm_wanted = False
        self._swap_wanted = False
        self._stopping = False
        self._pipeline: Pipeline | None = None  # changed by the thread alone
        self._ready = False  # whether the session has been told so
        self._thread = threading.Thread(target=self._work, name="blender_sd session", daemon=True)
        self._thread.start()

    # ---- called from other threads ---------------------------------------------------------------------------------

    def add(self, task: Task) -> None:
        """Put `task` at the end of the queue, or of its part that is not behind; one that is behind and at work is broken off."""
        with self._wanted:
            place = len(self._pending) if task.behind else self._ahead()
            self._pending.insert(place, task)
            if not task.behind and self._current is not None and self._current.behind:
                self._current.cancelled.set()
            self._wanted.notify()

    def cancel(self, job: str) -> None:
        """End `job`: at once where it still waits, else as soon as the pipeline can."""
        with self._lock:
            if self._current is not None and self._current.job == job:
                self._current.cancelled.set()
            for task in self._pending:
                if task.job == job:
                    self._pending.remove(task)
                    self._post(Cancelled(job))
                    return

    def move(self, job: str, offset: int) -> list[str]:
        """Shift a waiting job by `offset` places (negative: sooner). Returns the waiting jobs' ids in their order."""
        with self._lock:
            for place, task in enumerate(self._pending):
                if task.job == job:
                    self._pending.pop(place)
                    self._pending.insert(min(max(0, place + offset), self._ahead()), task)
                    break
            return [task.job for task in self._pending]

    def warm(self) -> None:
        with self._wanted:
            self._warm_wanted = True
            self._wanted.notify()

    def use(self, factory: Callable[[], Pipeline]) -> None:
        with self._wanted:
            self._factory = factory
            self._swap_wanted = True
            self._wanted.notify()

    def stop(self, timeout: float) -> bool:
        """End the thread and its pipeline within about `timeout` seconds; whether that worked.

        An idle engine is asked to go; one at work is ended by force, since its step may take long and its unfinished
        picture is unwanted.
        """
        with self._wanted:
            self._stopping = True
            self._pending.clear()
            busy = self._busy
            if self._current is not None:
                self._current.cancelled.set()
            self._wanted.notify()
        self._thread.join(timeout * (0.1 if busy else 0.6))
        abort = getattr(self._pipeline, "abort", None)
        if self._thread.is_alive() and abort is not None:
            abort()
        self._thread.join(timeout * 0.4)
        return not self._thread.is_alive()

    def _ahead(self) -> int:
        """How many of the waiting tasks are not behind; they stand first."""
        return sum(not task.behind for task in self._pending)

    # ---- the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._drop_pipeline()

    def _turn(self) -> bool:
        """Do one thing that is wanted; False when the thread is to end."""
        with self._wanted:
            self._wanted.wait_for(lambda: self._stopping or self._swap_wanted or self._pending or self._warm_wanted)
            if self._stopping:
                return False
            swap, self._swap_wanted = self._swap_wanted, False
            task = warm = None
            if not swap:
                if self._pending:
                    task = self._current = self._pending.pop(0)
                else:
                    warm, self._warm_wanted = True, False
            self._busy = not swap
        if swap:
            self._drop_pipeline()
            self._tell("off")
        elif task is not None:
            self._carry_out(task)
        elif warm:
            self._warm()
        with self._lock:
            self._busy = False
        return True

    def _tell(self, status: str, info: Ready | None = None, error: SDError | None = None) -> None:
        self._ready = status == "ready"
        self._post(EngineState(status, info, error))

    def _the_pipeline(self) -> Pipeline:
        if self._pipeline is None:
            with self._lock:
                factory = self._factory
            self._pipeline = factory()
        return self._pipeline

    def _drop_pipeline(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            try:
                pipeline.close()
            except Exception:  # whatever it is, the thread has to live on for the next pipeline
                log.exception("closing the pipeline failed")

    def _warm(self) -> None:
        self._tell("starting")
        try:
            self._tell("ready", self._the_pipeline().warm())
        except Exception as error:
            known = _known(error, "The engine could not start.")
            log.warning("the engine could not start: %s\n%s", known, known.detail)
            self._tell("failed", error=known)

    def _carry_out(self, task: Task) -> None:
        ending = None

        def emit(event: object) -> None:
            nonlocal ending
            if isinstance(event, Ready):
                self._tell("ready", event)
            elif isinstance(event, Alive):
                pass
            elif ending is not None or getattr(event, "job", None) != task.job:
                log.debug("dropped a stale event: %s", type(event).__name__)
            else:
                if isinstance(event, ENDINGS):
                    ending = event
                    self._judge(event)
                self._post(event)

        try:
            if not self._ready:
                self._tell("starting")
            emit(Loading(task.job, "Preparing"))
            order = self._order(task, emit)
            if task.cancelled.is_set():
                emit(Cancelled(task.job))
            else:
                self._the_pipeline().run(order, emit, task.cancelled.is_set)
        except Exception as error:
            emit(Failed.of(task.job, _known(error, "The engine met an unexpected error.")))
        finally:
            with self._lock:
                self._current = None
        if ending is None:
            emit(Failed(task.job, SDError.kind, "The engine stopped without a word.", "Try again; the log may say more."))
        self._settle(ending)

    def _order(self, task: Task, emit: Callable[[object], None]) -> Generate:
        inputs = {role: _opened(role, source) for role, source in task.inputs.items()}
        request = task.request.with_inputs({role: source.digest() for role, source in inputs.items()})
        emit(Prepared(task.job, request))
        return Generate(task.job, request, task.folder, task.output, inputs, task.borrowed)

    def _judge(self, ending: object) -> None:
        """What a job's failure says of the engine itself."""
        if isinstance(ending, Failed):
            log.warning("job %s failed %s", ending.job, ending.logged)
            if ending.kind == EngineMissing.kind:
                self._tell("failed", error=ending.error())
            elif ending.kind == EngineDied.kind:
                self._tell("off")

    def _settle(self, ending: object) -> None:
        """After a job the status is never left at "starting": a pipeline that has not said Ready yet is asked."""
        gone = isinstance(ending, Failed) and ending.kind in (EngineMissing.kind, EngineDied.kind)
        if self._ready or gone or self._stopping:
            return
        if isinstance(ending, Finished):
            self._warm()
        else:
            self.warm()


def _known(error: Exception, message: str) -> SDError:
    if isinstance(error, SDError):
        return error
    return SDError(message, "The log holds the details.", text_of(error))
