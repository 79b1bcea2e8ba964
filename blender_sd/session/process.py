"""The engine process under supervision: started, watched, ended, and started again. A `protocol.messages.Pipeline`."""
from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.errors import EngineDied, EngineMissing, JobCancelled, SDError
from ..protocol.messages import (
    ENDINGS, PAINT, Cancel, Cancelled, EngineConfig, Event, Failed, Hello, Loading, Order, Ready, Step,
)
from .child import Child, Gone, Rejected

log = logging.getLogger("blender_sd")

BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "engine", "boot.py")
_TICK = 0.05  # seconds between two looks at `cancelled()`: prompt to a person, free to the processor
_REMEDY = "Repair the engine, or name a Python with torch and diffusers, in the add-on's preferences."
_AGAIN = "Generate again: the engine restarts by itself. Its log says more."
_MEMORY = "The system most likely ran out of memory: choose a smaller size, or close other programs, and generate again."


@dataclass(frozen=True)
class Limits:
    """Patience, in seconds: until the engine is ready; without any message of a running job's engine; the same after a
    cancel; from a cancel to its answer while a model loads; at the close."""

    start: float = 180.0
    silence: float = 30.0
    cancel_silence: float = 5.0
    cancel_loading: float = 1.5
    close: float = 1.0


class _Clock:
    """Seconds that this thread was able to count itself. A sleeping laptop, or a Blender whose main thread holds the
    interpreter for minutes, stops this clock, and so is not held against the engine."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.now = 0.0

    def tick(self) -> float:
        last, self._last = self._last, time.monotonic()
        self.now += min(self._last - last, 4 * _TICK)
        return self.now


class ProcessPipeline:
    """Runs orders in a child process: `python` executing `boot` for `role` (see `messages`).

    All methods but `abort` are called from one thread. The engine's standard error goes to the log. Cancelling
    needs no call: `run` asks `cancelled()` every 50 ms.
    """

    def __init__(
        self, python: str, config: EngineConfig, *, role: str = PAINT, boot: str = BOOT,
        limits: Limits = Limits(),
    ) -> None:
        self._python = python
        self._config = config
        self._role = role
        self._boot = boot
        self._limits = limits
        self._child: Child | None = None
        self._guard = threading.Lock()  # between starting a child and aborting
        self._aborted = False

    @property
    def pid(self) -> int | None:
        """The engine process's id, None where none runs."""
        child = self._child
        return None if child is None or child.gone() else child.pid

    def warm(self) -> Ready:
        """Start the engine unless it runs, and wait until it is ready. Raises EngineMissing (the interpreter is not
        there, is no Python, or lacks a library), EngineDied (no answer in time), or what the engine itself reports."""
        return self._ready(lambda: False, lambda event: None).info

    def run(self, order: Order, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Carry out one order; see `Pipeline.run`. Starts the engine where it does not run, and then emits Ready."""
        try:
            ending = self._carry_out(self._ready(cancelled, emit, order.job), order, emit, cancelled)
        except JobCancelled:
            ending = Cancelled(order.job)
        except SDError as error:
            ending = Cancelled(order.job) if cancelled() else Failed.of(order.job, error)
        emit(ending)

    def close(self) -> None:
        """Ask the engine to go, then make it go. Idempotent; a later `run` starts it anew."""
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.close(self._limits.close)

    def abort(self) -> None:
        """End the engine by force and for good, at once; a running job ends as cancelled. May be called from any thread."""
        with self._guard:
            self._aborted = True
            child = self._child
        if child is not None:
            child.kill()

    # ---- starting --------------------------------------------------------------------------------------------------

    def _start(self) -> Child:
        """The running child, or a new one that has been greeted."""
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
                self._child = Child(self._python, self._boot, self._role)
                self._child.send(Hello(self._config))
            return self._child

    def _ready(self, cancelled: Callable[[], bool], emit: Callable[[Event], None], job: str = "") -> Child:
        """The child, once it is ready. Raises JobCancelled as soon as `cancelled()`; the start then goes on by itself."""
        child = self._start()
        if child.info is not None:
            return child
        emit(Loading(job, "Starting the engine"))
        clock = _Clock()
        while child.info is None:
            message = child.receive(_TICK)
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
            elif clock.tick() > self._limits.start:
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

    # ---- one order -------------------------------------------------------------------------------------------------

    def _carry_out(
        self, child: Child, order: Order, emit: Callable[[Event], None], cancelled: Callable[[], bool],
    ) -> Event:
        """Send the order, pass its events on, and return its ending."""
        child.send(order)
        clock = _Clock()
        heard, heard_at = child.heard, 0.0
        cancelled_at: float | None = None
        loading = False
        dead_since: float | None = None
        while True:
            message = child.receive(_TICK)
            now = clock.tick()
            if child.heard != heard:
                heard, heard_at = child.heard, now
            if isinstance(message, Gone):
                return self._died(child, order.job, message, cancelled_at is not None)
            if isinstance(message, Rejected):
                return Failed.of(order.job, message.error)
            if isinstance(message, Failed) and not message.job:  # the engine itself gave up
                self._discard()
                return Failed.of(order.job, message.error())
            if message is not None:
                if getattr(message, "job", None) != order.job:
                    log.debug("dropped a stale %s", type(message).__name__)
                elif isinstance(message, ENDINGS):
                    return message
                else:
                    loading = isinstance(message, Loading) or (loading and not isinstance(message, Step))
                    emit(message)
            if cancelled_at is None and cancelled():
                cancelled_at = now
                child.send(Cancel(order.job))
            dead_since = None if child.exit_code is None else now if dead_since is None else dead_since
            if dead_since is not None and now - dead_since > 0.5:  # a grandchild holds the pipe open
                return self._died(child, order.job, Gone(), cancelled_at is not None)
            if cancelled_at is not None and loading and now - cancelled_at > self._limits.cancel_loading:
                return self._give_up_loading(order.job)
            if now - heard_at > (self._limits.silence if cancelled_at is None else self._limits.cancel_silence):
                return self._hung(child, order.job, cancelled_at is not None)

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
            return Failed.of(job, EngineDied("The engine sent something that is not a message, and was stopped.", _AGAIN, detail))
        hint = _MEMORY if code == -getattr(signal, "SIGKILL", 9) else _AGAIN
        return Failed.of(job, EngineDied("The engine stopped in the middle of the job.", hint, detail))

    def _hung(self, child: Child, job: str, cancelled: bool) -> Event:
        self._discard()
        if cancelled:
            return Cancelled(job)
        error = EngineDied("The engine stopped answering, and was ended.", _AGAIN, child.last_words())
        return Failed.of(job, error)

    def _give_up_loading(self, job: str) -> Event:
        """A library that reads gigabytes hears no cancel: replace the process, and let the new one get ready meanwhile."""
        self._discard()
        try:
            self._start()
        except SDError as error:
            log.warning("the engine did not restart: %s", error)
        return Cancelled(job)
