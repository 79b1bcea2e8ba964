"""Run the background thread: it alone owns the head of the queue and the pipeline, and it never touches bpy.

It posts what happens to the session's inbox and changes no job.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..core.errors import EngineDied, EngineMissing, JobCancelled, SDError, SourceUnusable
from ..core.request import Request
from ..core.tasks import PbrMaps
from ..protocol import endings
from ..protocol.messages import (
    Alive, Cancelled, Ending, Event, Failed, Finished, FrameDone, Generate, Loading, Ready, Result, Source,
    Unwrapped, text_of,
)
from ..protocol.pipeline import Pipeline
from ..protocol.surfaces import Bare, Scenery, Unwrapping
from .job import Prepared, Turn
from .sequences import Sequence

log = logging.getLogger("blender_sd")

SourceOrReader = Source | Callable[[], Source]


# A function is called on the background thread, and must not use bpy.
SceneryOrReader = Scenery | Callable[[], Scenery] | Unwrapping


@dataclass(frozen=True)
class EngineState:
    """The engine's state as the session shows it; `status` is off, starting, ready or failed."""

    status: str
    info: Ready | None = None
    error: SDError | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """What the thread needs to run one job.

    A `background` task waits for all others and gives way to them. `base_model`, `controls_only`, `scenery` and
    `maps` are as in `messages.Generate`; `sequence` makes its `shot`.
    """

    job: str
    request: Request
    folder: str
    output: str
    inputs: dict[str, SourceOrReader]
    base_model: str = ""
    background: bool = False
    controls_only: bool = False
    scenery: SceneryOrReader | None = None
    maps: PbrMaps | None = None
    sequence: Sequence | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


def _read_source(role: str, source: SourceOrReader) -> Source:
    """Return the picture for `role`, reading it if `source` is a function.

    Raise SourceUnusable for one that cannot be sent.
    """
    if callable(source):
        try:
            source = source()
        except OSError as error:
            raise SourceUnusable(f"The {role} image cannot be read.", f"{error.strerror or error}.",
                                 text_of(error)) from error
    if not isinstance(source, Source) or (source.pixels is None) == (source.encoded is None):
        raise SourceUnusable(f"The {role} image holds nothing.", "Choose another one.", repr(source)[:200])
    pixels = source.pixels
    if pixels is not None and (pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 4 or not pixels.size):
        raise SourceUnusable(f"The {role} image has no usable pixels.", "Choose another one.",
                             f"{pixels.dtype} {pixels.shape}")
    if source.encoded is not None and not source.encoded:
        raise SourceUnusable(f"The {role} image's file is empty.", "Choose another one.")
    return source


class Waiting:
    """The tasks that wait for a thread, shared by the threads of one session."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.tasks: list[Task] = []


class Worker:
    """A daemon thread that takes tasks from a queue, and one pipeline, which is created when it is first needed.

    Args:
        factory: Creates the pipeline.
        waiting: The queue; other threads may take from it too.
        kept: As in `Session`.
        post: Takes every event (messages.Event without Ready and Alive, plus Prepared and EngineState). It is called on
            this thread, and on the caller's thread for tasks that are cancelled while they wait.
    """

    def __init__(self, factory: Callable[[], Pipeline[Generate]], post: Callable[[object], None],
                 waiting: Waiting | None = None, kept: Callable[[Request], tuple[Result, ...]] | None = None) -> None:
        waiting = waiting or Waiting()
        self._factory = factory
        self._post = post
        self._kept = kept
        self._lock, self._wanted, self._pending = waiting.lock, waiting.changed, waiting.tasks
        self._current: Task | None = None
        self._busy = False  # with a task or with starting the engine
        self._warm_wanted = False
        self._swap_wanted = False
        self._stopping = False
        self._pipeline: Pipeline[Generate] | None = None  # changed by the thread only
        self._ready = False  # whether that was posted
        self._thread = threading.Thread(target=self._work, name="blender_sd session", daemon=True)
        self._thread.start()

    # ---- called from other threads ---------------------------------------------------------------------------------

    def add(self, task: Task) -> None:
        """Add `task` to the queue: at the end, or before the background tasks. A running background task is cancelled.
        """
        with self._wanted:
            place = len(self._pending) if task.background else self._ahead()
            self._pending.insert(place, task)
            if not task.background and self._current is not None and self._current.background:
                self._current.cancelled.set()
            self._wanted.notify_all()

    def cancel(self, job: str) -> None:
        """Cancel `job`: at once if it is waiting, otherwise as soon as the pipeline can."""
        with self._lock:
            if self._current is not None and self._current.job == job:
                self._current.cancelled.set()
            for task in self._pending:
                if task.job == job:
                    self._pending.remove(task)
                    self._post(Cancelled(job))
                    return

    def move(self, job: str, offset: int) -> list[str]:
        """Move a waiting job by `offset` places (negative: sooner). Return the ids of the waiting jobs in their order.
        """
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
            self._wanted.notify_all()

    def use(self, factory: Callable[[], Pipeline[Generate]]) -> None:
        with self._wanted:
            self._factory = factory
            self._swap_wanted = True
            self._wanted.notify_all()

    def stop(self, timeout: float) -> bool:
        """End the thread and its pipeline within about `timeout` seconds, and return whether that worked.

        An idle engine is asked to end. A busy one is killed, since its step may take long and its unfinished picture is
        unwanted.
        """
        with self._wanted:
            self._stopping = True
            self._pending.clear()
            busy = self._busy
            if self._current is not None:
                self._current.cancelled.set()
            self._wanted.notify_all()
        self._thread.join(timeout * (0.1 if busy else 0.6))
        if self._thread.is_alive():
            self.abort()
        self._thread.join(timeout * 0.4)
        return not self._thread.is_alive()

    def abort(self) -> None:
        """Kill the pipeline's process at once, where it has one."""
        abort = getattr(self._pipeline, "abort", None)
        if abort is not None:
            abort()

    def _ahead(self) -> int:
        """Return how many of the waiting tasks are not background tasks; they come first."""
        return sum(not task.background for task in self._pending)

    # ---- the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._drop_pipeline()

    def _turn(self) -> bool:
        """Do one thing that is wanted. Return False when the thread is to end."""
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
            self._post_state("off")
        elif task is not None:
            self._run(task)
        elif warm:
            self._warm()
        with self._lock:
            self._busy = False
        return True

    def _post_state(self, status: str, info: Ready | None = None, error: SDError | None = None) -> None:
        self._ready = status == "ready"
        self._post(EngineState(status, info, error))

    def _get_pipeline(self) -> Pipeline[Generate]:
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
            except BaseException:  # whatever happened, the thread must live on for the next pipeline
                log.exception("closing the pipeline failed")

    def _warm(self) -> None:
        self._post_state("starting")
        try:
            self._post_state("ready", self._get_pipeline().warm())
        except BaseException as error:  # whatever it is, the thread has to live on
            known = endings.unexpected(error, "The engine could not start.")
            log.warning("the engine could not start: %s\n%s", known, known.detail)
            self._post_state("failed", error=known)

    def _run(self, task: Task) -> None:
        ending = None

        def emit(event: object) -> None:
            nonlocal ending
            if isinstance(event, Ready):
                self._post_state("ready", event)
            elif isinstance(event, Alive):
                pass
            elif ending is not None or getattr(event, "job", None) != task.job:
                log.debug("dropped a stale event: %s", type(event).__name__)
            else:
                if isinstance(event, Ending):
                    ending = event
                    self._judge(event)
                self._post(event)

        def work() -> Event:
            if not self._ready and self._kept is None:
                self._post_state("starting")
            emit(Loading(task.job, "Preparing"))
            request = self._message_for(task, emit)
            if task.cancelled.is_set():
                return Cancelled(task.job)
            if task.sequence is not None:
                shot = task.sequence.record(task.job, emit, task.cancelled.is_set)
                if shot is None:
                    return Finished(task.job, ())
                return self._animated(replace(request, shot=shot), emit, task, task.sequence)
            if self._kept is not None:
                if results := self._kept(request.request):
                    return Finished(task.job, results)
                if not self._ready:
                    self._post_state("starting")
            return self._carry_out(request, emit, task)

        endings.finish(task.job, work, emit)
        with self._lock:
            self._current = None
        self._settle(ending)

    def _animated(self, order: Generate, emit: Callable[[object], None], task: Task, sequence: Sequence) -> Event:
        """Return the ending of an animation's job, with a result for each frame that was reported."""
        paths: list[str] = []

        def take(event: object) -> None:
            if isinstance(event, FrameDone):
                paths.append(event.path)
            emit(event)

        made = self._carry_out(order, take, task)
        if not isinstance(made, Finished):
            return made
        request = order.request
        results = tuple(Result(path, request, request.width, request.height) for path in paths)
        return sequence.finish(Finished(made.job, results), emit, task.cancelled.is_set)

    def _message_for(self, task: Task, emit: Callable[[object], None]) -> Generate:
        inputs = {role: _read_source(role, source) for role, source in task.inputs.items()}
        request = task.request.with_inputs({role: source.digest() for role, source in inputs.items()})
        emit(Prepared(task.job, request))
        return Generate(task.job, request, task.folder, task.output, inputs, task.base_model, task.controls_only,
                        self._scenery(task, request, emit), task.maps)

    def _scenery(self, task: Task, request: Request, emit: Callable[[object], None]) -> Scenery | None:
        """Return what the pictures are baked onto; meshes without UVs are unwrapped first. Raise SDError."""
        given = task.scenery
        if isinstance(given, Unwrapping):
            turn = Turn(task.job, partial(given.scenery, self._unwrapped(task, request, given.meshes, emit)))
            emit(turn)
            given = turn.wait(task.cancelled)
        return given() if callable(given) else given

    def _unwrapped(self, task: Task, request: Request, meshes: tuple[Bare, ...], emit: Callable[[object], None]
                   ) -> tuple[np.ndarray, ...]:
        """Return the UVs of meshes that have none. Raise SDError."""
        maps: list[tuple[np.ndarray, ...]] = []

        def take(event: object) -> None:
            if isinstance(event, Unwrapped):
                maps.append(event.maps)
            else:
                emit(event)

        ending = self._carry_out(Generate(task.job, request, task.folder, "", bare=meshes), take, task)
        if isinstance(ending, Failed):
            raise ending.error()
        if not maps:
            raise JobCancelled("The job was cancelled.")
        return maps[-1]

    def _carry_out(self, message: Generate, emit: Callable[[object], None], task: Task) -> Event:
        """Run a message in the pipeline, and return its ending, which `emit` does not get."""
        ended: list[Event] = []
        endings.run(self._get_pipeline(), message,
                    lambda event: ended.append(event) if isinstance(event, Ending) else emit(event),
                    task.cancelled.is_set)
        return ended[-1]

    def _judge(self, ending: object) -> None:
        """Update the engine's state according to a job's failure."""
        if isinstance(ending, Failed):
            log.warning("job %s failed %s", ending.job, ending.logged)
            if ending.kind == EngineMissing.kind:
                self._post_state("failed", error=ending.error())
            elif ending.kind == EngineDied.kind:
                self._post_state("off")

    def _settle(self, ending: object) -> None:
        """Never leave the status at "starting" after a job: warm a pipeline that has not reported Ready yet."""
        gone = isinstance(ending, Failed) and ending.kind in (EngineMissing.kind, EngineDied.kind)
        if self._ready or gone or self._stopping:
            return
        if self._kept is not None:
            return  # its pictures may have been there already: no engine was needed
        if isinstance(ending, Finished):
            self._warm()
        else:
            self.warm()
