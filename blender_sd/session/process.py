"""Supervise a child process: start it, watch it, end it, and restart it. It implements `protocol.pipeline.Pipeline`."""
from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..core.errors import EngineDied, EngineMissing, JobCancelled, SDError
from ..protocol import endings
from ..protocol.messages import (
    PAINT, Cancel, Cancelled, Ending, EngineConfig, Event, Failed, Hello, Loading, Ready, Step, WorkRequest,
)
from .child import Child, Gone, Rejected

log = logging.getLogger("blender_sd")

BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "protocol", "boot.py")
_TICK = 0.05  # seconds between checks of `cancelled()`: prompt for people, cheap for the processor
_PROGRESS = 500  # milliseconds of work that distinguish an engine that is loading from one that hangs
_REMEDY = "Repair the engine, or name a Python with torch and diffusers, in the add-on's preferences."
_AGAIN = "Generate again: the engine restarts by itself. Its log says more."
_MEMORY = (
    "The system most likely ran out of memory: choose a smaller size, or close other programs, and generate again."
)


@dataclass(frozen=True)
class Limits:
    """Limits of patience, in seconds.

    Attributes:
        start: Without progress during a start. (Its duration tells nothing: virus scanners can make it minutes.)
        silence: Without any message from the engine during a job.
        cancel_silence: The same after a cancel.
        cancel_loading: From a cancel to its answer while a model loads.
        cancel: From a cancel to its answer in any case; even the slowest step is shorter.
        close: For the process to end when asked.
    """

    start: float = 180.0
    silence: float = 30.0
    cancel_silence: float = 5.0
    cancel_loading: float = 1.5
    cancel: float = 120.0
    close: float = 1.0


class _Clock:
    """Count seconds in which this thread ran.

    A sleeping laptop, or a Blender whose main thread holds the interpreter lock for minutes, stops this clock, and so
    is not blamed on the engine.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.now = 0.0

    def tick(self) -> float:
        last, self._last = self._last, time.monotonic()
        self.now += min(self._last - last, 4 * _TICK)
        return self.now


class ProcessPipeline:
    """Run requests in a child process.

    All methods except `abort` are called from one thread. The process's standard error goes to the log. To cancel, make
    `run`'s `cancelled()` return True; it is checked every 50 ms.

    Args:
        python: The interpreter.
        config: The engine's configuration.
        role: The role of the process (see `protocol.messages`).
        boot: The path of `protocol/boot.py`.
        limits: The limits of patience.
        blender: As for `Child`.
    """

    def __init__(
        self, python: str, config: EngineConfig, *, role: str = PAINT, boot: str = BOOT,
        limits: Limits = Limits(), blender: tuple[str, ...] = (),
    ) -> None:
        self._python = python
        self._config = config
        self._role = role
        self._boot = boot
        self._limits = limits
        self._blender = blender
        self._child: Child | None = None
        self._guard = threading.Lock()  # protects starting a child against aborting
        self._aborted = False
        self._begun = False  # whether the engine has sent any message about the current request

    @property
    def pid(self) -> int | None:
        """The process id, or None if no process runs."""
        child = self._child
        return None if child is None or child.gone() else child.pid

    def warm(self) -> Ready:
        """Start the process if necessary, and wait until it is ready.

        Raises:
            EngineMissing: The interpreter is missing, is no Python, or lacks a library.
            EngineDied: The process did not start in time.
            SDError: The process reported an error.
        """
        info = self._ready(lambda: False, lambda event: None).info
        assert info is not None  # it is ready
        return info

    def run(self, request: WorkRequest, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Run one request (see `Pipeline.run`), starting the process if necessary, which emits Ready.

        A process that dies or hangs without any message about this request was broken before: a new one gets the
        request, once.
        """
        def work() -> Event:
            try:
                ending = self._run(self._ready(cancelled, emit, request.job), request, emit, cancelled)
                if isinstance(ending, Failed) and ending.kind == EngineDied.kind and not self._begun:
                    log.info("the engine was gone before the request came: %s", ending.message)
                    ending = self._run(self._ready(cancelled, emit, request.job), request, emit, cancelled)
                return ending
            except SDError:
                if cancelled():
                    return Cancelled(request.job)
                raise

        endings.finish(request.job, work, emit)

    def close(self) -> None:
        """Ask the process to end, then kill it if necessary. May be called repeatedly; a later `run` starts it again.
        """
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.close(self._limits.close)

    def abort(self) -> None:
        """Kill the process for good, at once; a running job ends as cancelled. May be called from any thread."""
        with self._guard:
            self._aborted = True
            child = self._child
        if child is not None:
            child.kill()

    # ---- starting --------------------------------------------------------------------------------------------------

    def _start(self) -> Child:
        """Return the running process, or start a new one and send Hello."""
        child = self._child
        if child is not None and child.gone():
            log.info("the engine ended while it was idle (exit code %s)", child.exit_code)
            self._discard()
        with self._guard:
            if self._aborted:
                raise JobCancelled("The engine was stopped.")
            if self._child is None:
                if not os.path.isfile(self._boot):
                    raise EngineMissing(f"The add-on is incomplete: {self._boot} is missing.", "Install it again.")
                self._child = Child(self._python, self._boot, self._role, self._blender)
                self._child.send(Hello(self._config))
            return self._child

    def _ready(self, cancelled: Callable[[], bool], emit: Callable[[Event], None], job: str = "") -> Child:
        """Return the process once it is ready.

        Raises JobCancelled as soon as `cancelled()` returns True; the process goes on starting.
        """
        child = self._start()
        if child.info is not None:
            return child
        emit(Loading(job, "Starting the engine"))
        clock, worked, got_on = _Clock(), 0, 0.0
        while child.info is None:
            message = child.receive(_TICK)
            now = clock.tick()
            if child.worked >= worked + _PROGRESS:
                worked, got_on = child.worked, now
            if isinstance(message, Ready):
                child.info = message
                emit(message)
            elif isinstance(message, Failed):
                self._discard()
                raise message.error()
            elif isinstance(message, Gone):
                raise self._never_ready(child, message)
            elif self._aborted or cancelled():
                raise JobCancelled("The job was cancelled.")
            elif now - got_on > self._limits.start:
                self._discard()
                raise EngineDied("The engine did not start in time.", _AGAIN, child.last_words())
        return child

    def _never_ready(self, child: Child, end: Gone) -> SDError:
        child.wait(0.5)
        code = child.exit_code
        self._discard()
        if self._aborted:
            return JobCancelled("The engine was stopped.")
        detail = f"{self._python} {self._boot}\nexit code {code}, {end.error!r}\n{child.last_words()}"
        if code == -getattr(signal, "SIGKILL", 9):
            return EngineDied("The engine was ended by the system while it started.", _MEMORY, detail)
        return EngineMissing(f"The engine cannot run with the interpreter {self._python}.", _REMEDY, detail)

    def _discard(self) -> None:
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.kill()

    # ---- one request -------------------------------------------------------------------------------------------------

    def _run(
        self, child: Child, request: WorkRequest, emit: Callable[[Event], None], cancelled: Callable[[], bool],
    ) -> Event:
        """Send the request, pass its events on, and return its ending."""
        child.send(request)
        self._begun = False
        clock = _Clock()
        received, received_at = child.received, 0.0
        cancelled_at: float | None = None
        loading = False
        dead_since: float | None = None
        while True:
            message = child.receive(_TICK)
            now = clock.tick()
            if child.received != received:
                received, received_at = child.received, now
            if isinstance(message, Gone):
                return self._died(child, request.job, message, cancelled_at is not None)
            if isinstance(message, Rejected):
                return Failed.of(request.job, message.error)
            if isinstance(message, Failed) and not message.job:  # the engine itself failed
                self._discard()
                return Failed.of(request.job, message.error())
            if message is not None:
                self._begun = self._begun or getattr(message, "job", None) == request.job
                if getattr(message, "job", None) != request.job:
                    log.debug("dropped a stale %s", type(message).__name__)
                elif isinstance(message, Ending):
                    return message
                else:
                    loading = isinstance(message, Loading) or (loading and not isinstance(message, Step))
                    emit(message)
            if cancelled_at is None and cancelled():
                cancelled_at = now
                child.send(Cancel(request.job))
            dead_since = None if child.exit_code is None else now if dead_since is None else dead_since
            if dead_since is not None and now - dead_since > 0.5:  # a grandchild holds the pipe open
                return self._died(child, request.job, Gone(), cancelled_at is not None)
            if cancelled_at is not None and loading and now - cancelled_at > self._limits.cancel_loading:
                return self._give_up_loading(request.job)
            if cancelled_at is not None and now - cancelled_at > self._limits.cancel:
                return self._hung(child, request.job, True)
            if now - received_at > (self._limits.silence if cancelled_at is None else self._limits.cancel_silence):
                return self._hung(child, request.job, cancelled_at is not None)

    def _died(self, child: Child, job: str, end: Gone, cancelled: bool) -> Event:
        garbled = end.error is not None and child.exit_code is None and not child.wait(0.2)
        if not garbled:
            child.wait(0.5)
        code = child.exit_code
        self._discard()
        if cancelled or self._aborted:
            return Cancelled(job)
        detail = f"exit code {code}, {end.error!r}\n{child.last_words()}"
        if garbled:
            return Failed.of(job, EngineDied("The engine sent something that is not a message, and was stopped.",
                                             _AGAIN, detail))
        hint = _MEMORY if code == -getattr(signal, "SIGKILL", 9) else _AGAIN
        return Failed.of(job, EngineDied("The engine stopped in the middle of the job.", hint, detail))

    def _hung(self, child: Child, job: str, cancelled: bool) -> Event:
        self._discard()
        if cancelled:
            return Cancelled(job)
        error = EngineDied("The engine stopped answering, and was ended.", _AGAIN, child.last_words())
        return Failed.of(job, error)

    def _give_up_loading(self, job: str) -> Event:
        """Replace the process, and let the new one start meanwhile.

        A library that reads gigabytes cannot be interrupted.
        """
        self._discard()
        try:
            self._start()
        except SDError as error:
            log.warning("the engine did not restart: %s", error)
        return Cancelled(job)
