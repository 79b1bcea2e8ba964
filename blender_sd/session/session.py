"""Manage the queue of jobs as the main thread sees it. See docs/architecture.md, "How a picture travels"."""
from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Listed
from dataclasses import replace

from ..core.errors import SDError, SourceUnusable
from ..core.request import Request
from ..core.tasks import PbrMaps
from ..protocol.messages import Cancelled, Generate, Ready, Result
from ..protocol.pipeline import Pipeline
from .inbox import Inbox
from .job import Job
from .sequences import Sequence
from .worker import EngineState, SceneryOrReader, SourceOrReader, Task, Waiting, Worker

log = logging.getLogger("blender_sd")


class Session:
    """Manage a queue of jobs, one pipeline (or several), and the background thread that owns each.

    Jobs and the engine's status change only inside `pump`, on the thread that calls it. In Blender that is the main
    thread, so a job's `commit` may use bpy. Only `Job.result`, `wait` and `shutdown` wait.

    Args:
        pipeline_factory: Creates the pipeline.
        more: Create further pipelines, which take jobs from the same queue.
        kept: Called on a background thread before a job is painted: returns its pictures where they are there already,
            () where they are not.
        before_turn: Called before each `pump` on the thread that pumps, with whether it is to wait for a job; may raise
            SDError.

    Attributes:
        status: "off", "starting", "ready" or "failed".
        engine_info: The engine's description when ready.
        engine_error: The error when failed.
    """

    def __init__(self, pipeline_factory: Callable[[], Pipeline[Generate]],
                 before_turn: Callable[[bool], None] = lambda waiting: None,
                 changed: threading.Condition | None = None, *,
                 more: Listed[Callable[[], Pipeline[Generate]]] = (),
                 kept: Callable[[Request], tuple[Result, ...]] | None = None) -> None:
        self._factories = [pipeline_factory, *more]
        self._kept = kept
        self.before_turn = before_turn
        self._workers: list[Worker] = []
        self._inbox = Inbox(changed)
        self._jobs: list[Job] = []
        self._pausable: dict[str, Task] = {}  # jobs of animations, until they end
        self._pumping = threading.RLock()
        self._closed = False
        self._pid = os.getpid()
        self.status = "off"
        self.engine_info: Ready | None = None
        self.engine_error: SDError | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs that were not cleared, in the order of the queue, without background jobs. A copy."""
        return [job for job in self._jobs if not job.background]

    @property
    def status_text(self) -> str:
        """`status` as a line for people; "" while it is off."""
        if self.status == "ready" and self.engine_info:
            if self.engine_info.device == "cpu":
                return "Ready (processor)"
            return f"Ready ({self.engine_info.card or self.engine_info.device})"
        if self.status == "failed" and self.engine_error:
            return str(self.engine_error)
        return {"starting": "Starting…"}.get(self.status, "")

    def submit(
        self, request: Request, *, folder: str, output: str, inputs: Mapping[str, SourceOrReader] | None = None,
        commit: Callable[[Job], list] | None = None, label: str = "", base_model: str = "", background: bool = False,
        controls_only: bool = False, scenery: SceneryOrReader | None = None, maps: PbrMaps | None = None,
        recall: Callable[[list, tuple[Result, ...]], list] | None = None, sequence: Sequence | None = None,
    ) -> Job:
        """Add a request to the queue and return its job at once.

        Args:
            request: The request.
            folder: The model's folder or file.
            output: The folder for the pictures; "" as in `messages.Generate`.
            inputs: The input pictures by role: each a picture, or a function that returns it. Such a function runs on
                the background thread, must not use bpy, and may raise SDError or OSError.
            commit: Called by `pump` with the finished job; its result becomes the job's `outputs`. If it raises
                SDError, the job fails.
            label: The name of the job in lists.
            base_model: As in `messages.Generate`.
            background: Whether all other jobs come first, and a job submitted meanwhile cancels this one, so that the
                caller can try again. It is not listed in `jobs`, and forgotten when it ends.
            controls_only, maps: As in `messages.Generate`.
            scenery: What the pictures are baked onto: a `Scenery`, a function that returns it (as for `inputs`), or
                what there will be once some meshes have UVs.
            recall: Turns the result of `commit` and the pictures into the current value of `Job.outputs`, whenever that
                is read.
            sequence: What is done before the frames of an animation are painted, and after. Such a job can be paused.

        Raises:
            SourceUnusable: A picture that the task needs is missing.
            SDError: The session was shut down.
        """
        inputs = dict(inputs or {})
        for role in request.task.needs:
            if role not in inputs:
                raise SourceUnusable(f"There is no {role} image.", "Choose one.")
        worker = self._awake()[0]
        job = Job(uuid.uuid4().hex, request, self, label, commit, background, recall)
        self._jobs.append(job)
        task = Task(job.id, request, os.path.abspath(folder), output and os.path.abspath(output), inputs, base_model,
                    background, controls_only, scenery, maps, sequence)
        if sequence is not None:
            self._pausable[job.id] = task
        worker.add(task)
        return job

    def pump(self, budget: float | None = 0.008) -> bool:
        """Apply waiting events for about `budget` seconds (None: all of them), and return whether anything changed.

        At least one waiting event is applied; a `commit` is never interrupted.
        """
        self.before_turn(False)
        start = time.perf_counter()
        changed = False
        with self._pumping:
            while (item := self._inbox.get()) is not None:
                at, event = item
                changed |= self._apply(event, at)
                if budget is not None and time.perf_counter() - start >= budget:
                    break
        return changed

    def busy(self) -> bool:
        """Return whether a job is going on, one in the background too, or the engine is starting."""
        return self.status == "starting" or any(
            not job.done and job.state != "paused" for job in self._jobs)

    def waits(self) -> bool:
        """Return whether `pump` has something to do."""
        return self._inbox.waits()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds until `pump` has something to do, and return whether it has."""
        return self._inbox.wait(timeout)

    def warm(self) -> None:
        """Start the engine in the background before it is needed.

        Nothing happens if it is ready, starting, or failed to start; the next job tries again, and so does `use`.
        """
        if self.status == "off" and not self._closed:
            self.status = "starting"
            for worker in self._awake():
                worker.warm()

    def cancel(self, job: Job) -> bool:
        """Cancel `job`; see `Job.cancel`."""
        if job.done:
            return False
        if not job.cancelling:
            job.cancelling = True
            if job.state == "paused":  # no thread has it
                self._inbox.put(Cancelled(job.id))
                return True
            for worker in self._workers:
                worker.cancel(job.id)
        return True

    def pause(self, job: Job) -> bool:
        """Stop an animation's job until `resume`; the frames that are finished stay. Return whether it can be paused.
        """
        if job.done or job.cancelling or job.pausing or job.id not in self._pausable:
            return False
        job.pausing = True
        for worker in self._workers:
            worker.cancel(job.id)
        return True

    def resume(self, job: Job) -> bool:
        """Put a paused job at the end of the queue: it goes on where it stopped. Return whether it was paused."""
        if job.state != "paused" or job.id not in self._pausable:
            return False
        task = self._pausable[job.id] = replace(self._pausable[job.id], cancelled=threading.Event())
        job.pausing, job.state, job.text = False, "queued", "Waiting"
        self._awake()[0].add(task)
        return True

    def cancel_all(self) -> None:
        """Cancel every job that has not ended, the last one first, so that none of the waiting jobs starts meanwhile.
        """
        for job in reversed(self._jobs):
            self.cancel(job)

    def move(self, job: Job, offset: int) -> None:
        """Move a waiting job by `offset` places in the queue (negative: sooner); other jobs are not moved."""
        if not self._workers:
            return
        ids = self._workers[0].move(job.id, offset)
        waiting = {other.id: other for other in self._jobs if other.id in set(ids)}
        queue = iter([waiting[id] for id in ids if id in waiting])
        self._jobs = [next(queue) if other.id in waiting else other for other in self._jobs]

    def clear_finished(self) -> None:
        """Forget the jobs that have ended."""
        self._jobs = [job for job in self._jobs if not job.done]

    def use(self, *pipeline_factories: Callable[[], Pipeline[Generate]]) -> None:
        """Change the pipelines. A running job ends on its old one, which is then closed in the background."""
        self._factories = list(pipeline_factories)
        for worker, factory in zip(self._workers, pipeline_factories):
            worker.use(factory)

    def abort(self) -> None:
        """Kill the engines' processes at once. May be called from any thread; the session cannot be used afterwards."""
        for worker in self._workers:
            worker.abort()

    def shutdown(self, timeout: float = 5.0) -> bool:
        """End all jobs as cancelled, the engine and the thread, within about `timeout` seconds.

        Return whether all are gone.

        May be called repeatedly. Nothing can be submitted afterwards.
        """
        if os.getpid() != self._pid:
            return True  # in a fork of the process that owns the engine
        self._closed = True
        atexit.unregister(self.shutdown)
        for job in self._jobs:
            job.cancelling = job.cancelling or not job.done
        stopped = [worker.stop(timeout) for worker in self._workers]
        gone = all(stopped)
        if not gone:
            log.warning("a background thread did not end within %g s", timeout)
        for job in self._jobs:
            if not job.done:
                self._inbox.put(Cancelled(job.id))
        self._inbox.put(EngineState("off"))
        self.pump(None)
        return gone

    # ---- underneath ------------------------------------------------------------------------------------------------

    def _awake(self) -> list[Worker]:
        if self._closed or os.getpid() != self._pid:
            raise SDError("The background pipeline has been shut down.", "Enable the add-on again.")
        if not self._workers:
            waiting = Waiting()
            self._workers = [Worker(factory, self._inbox.put, waiting, self._kept) for factory in self._factories]
            atexit.register(self.shutdown)
        return self._workers

    def _apply(self, event: object, at: float) -> bool:
        if isinstance(event, EngineState):
            self.status, self.engine_info, self.engine_error = event.status, event.info, event.error
            return True
        id = getattr(event, "job", None)
        for job in self._jobs:
            if job.id == id:
                changed = job.apply(event, at)
                if job.done:
                    self._pausable.pop(job.id, None)
                if job.background and job.done:
                    self._jobs.remove(job)
                return changed
        return False
