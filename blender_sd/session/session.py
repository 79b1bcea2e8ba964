"""The session: what the main thread sees of the queue. See docs/architecture.md, "The data's way"."""
from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from ..protocol.errors import SDError, SourceUnusable
from ..protocol.messages import Cancelled, Pipeline, Ready
from ..protocol.request import NEEDS, Request
from .inbox import Inbox
from .job import Job
from .worker import EngineState, SourceOrReader, Task, Worker

log = logging.getLogger("blender_sd")


class Session:
    """A queue of jobs, one pipeline and the one background thread that owns both.

    Jobs and the engine's status change only inside `pump`, on the thread that calls it; in Blender that is the main
    thread, so a job's `commit` may use bpy. No method but `Job.result`, `wait` and `shutdown` ever waits.

    `status`: "off", "starting", "ready" or "failed"; `engine_info` is set when ready, `engine_error` when failed.
    """

    def __init__(self, pipeline_factory: Callable[[], Pipeline]) -> None:
        self._factory = pipeline_factory
        self._worker: Worker | None = None
        self._inbox = Inbox()
        self._jobs: list[Job] = []
        self._pumping = threading.RLock()
        self._closed = False
        self._pid = os.getpid()
        self.status = "off"
        self.engine_info: Ready | None = None
        self.engine_error: SDError | None = None

    @property
    def jobs(self) -> list[Job]:
        """All jobs that were not cleared, in the order of the queue, the newest last; none that are `behind`. A copy."""
        return [job for job in self._jobs if not job.behind]

    @property
    def status_text(self) -> str:
        """`status` in a line for people; "" while it is off."""
        if self.status == "ready" and self.engine_info:
            return f"Ready on {self.engine_info.device} ({self.engine_info.precision})"
        if self.status == "failed" and self.engine_error:
            return str(self.engine_error)
        return {"starting": "Starting…"}.get(self.status, "")

    def submit(
        self, request: Request, *, folder: str, output: str, inputs: Mapping[str, SourceOrReader] | None = None,
        commit: Callable[[Job], list] | None = None, label: str = "", borrowed: str = "", behind: bool = False,
    ) -> Job:
        """Put an order into the queue; returns at once.

        `folder`: the model's, `borrowed` as in `messages.Generate`; `output`: where the pictures are written, "" as there.
        `inputs`: each input picture by its role, or a function that gives it and may raise SDError or OSError: it is called on the
        background thread and must not use bpy.
        `commit` is called by `pump` with the finished job and returns its `outputs`; raising SDError fails the job.
        `behind`: all others come first, and one that is submitted meanwhile ends this one as cancelled, for whoever ordered it to
        try again; it is not listed in `jobs`, and forgotten when it ends.
        Raises SourceUnusable where the task needs a picture that is not given, SDError after `shutdown`.
        """
        inputs = dict(inputs or {})
        for role in NEEDS[request.task]:
            if role not in inputs:
                raise SourceUnusable(f"There is no {role} image.", "Choose one.")
        worker = self._awake()
        job = Job(uuid.uuid4().hex, request, self, label, commit, behind)
        self._jobs.append(job)
        worker.add(Task(job.id, request, os.path.abspath(folder), output and os.path.abspath(output), inputs, borrowed, behind))
        return job

    def pump(self, budget: float | None = 0.008) -> bool:
        """Apply waiting events for about `budget` seconds (None: all of them); whether anything changed.

        At least one event is applied where one waits; a `commit` is never cut short.
        """
        start = time.perf_counter()
        changed = False
        with self._pumping:
            while (item := self._inbox.get()) is not None:
                at, event = item
                changed |= self._apply(event, at)
                if budget is not None and time.perf_counter() - start >= budget:
                    break
        return changed

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `pump` has something to do, at most `timeout` seconds; whether it has."""
        return self._inbox.wait(timeout)

    def warm(self) -> None:
        """Start the engine in the background, so that it is ready before it is needed. Does nothing where it is
        ready, starting, or has failed to start; the next job tries again, and so does `use`."""
        if self.status == "off" and not self._closed:
            self.status = "starting"
            self._awake().warm()

    def cancel(self, job: Job) -> bool:
        """Ask for the end of `job`; see `Job.cancel`."""
        if job.done:
            return False
        if not job.cancelling:
            job.cancelling = True
            if self._worker is not None:
                self._worker.cancel(job.id)
        return True

    def cancel_all(self) -> None:
        """Cancel every job that has not ended, the waiting ones first, so that none of them starts meanwhile."""
        for job in reversed(self._jobs):
            self.cancel(job)

    def move(self, job: Job, offset: int) -> None:
        """Shift a waiting job by `offset` places in the queue (negative: sooner); others are left where they are."""
        if self._worker is None:
            return
        order = self._worker.move(job.id, offset)
        waiting = {one.id: one for one in self._jobs if one.id in set(order)}
        queue = iter([waiting[id] for id in order if id in waiting])
        self._jobs = [next(queue) if one.id in waiting else one for one in self._jobs]

    def clear_finished(self) -> None:
        """Forget the jobs that have ended."""
        self._jobs = [job for job in self._jobs if not job.done]

    def use(self, pipeline_factory: Callable[[], Pipeline]) -> None:
        """Change the pipeline. A running job ends on the old one, which is then closed in the background."""
        self._factory = pipeline_factory
        if self._worker is not None:
            self._worker.use(pipeline_factory)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """End all jobs as cancelled, the engine and the thread, within about `timeout` seconds; whether all are gone.
        Idempotent. Nothing can be submitted afterwards."""
        if os.getpid() != self._pid:
            return True  # a fork of the process that the engine belongs to: not ours to stop
        self._closed = True
        atexit.unregister(self.shutdown)
        for job in self._jobs:
            job.cancelling = job.cancelling or not job.done
        gone = self._worker is None or self._worker.stop(timeout)
        if not gone:
            log.warning("the background thread did not end within %g s", timeout)
        for job in self._jobs:
            if not job.done:
                self._inbox.put(Cancelled(job.id))
        self._inbox.put(EngineState("off"))
        self.pump(None)
        return gone

    # ---- underneath ------------------------------------------------------------------------------------------------

    def _awake(self) -> Worker:
        if self._closed or os.getpid() != self._pid:
            raise SDError("The background pipeline has been shut down.", "Enable the add-on again.")
        if self._worker is None:
            self._worker = Worker(self._factory, self._inbox.put)
            atexit.register(self.shutdown)
        return self._worker

    def _apply(self, event: object, at: float) -> bool:
        if isinstance(event, EngineState):
            self.status, self.engine_info, self.engine_error = event.status, event.info, event.error
            return True
        id = getattr(event, "job", None)
        for job in self._jobs:
            if job.id == id:
                changed = job.apply(event, at)
                if job.behind and job.done:
                    self._jobs.remove(job)
                return changed
        return False
