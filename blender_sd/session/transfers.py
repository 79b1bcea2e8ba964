"""Work that takes minutes and is measured in bytes: each in a process of its own, watched by a thread of its own.

Ending the process is the cancel: whatever it has written stays, and the next one goes on from there.
"""
from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from ..protocol.errors import EngineDied, JobCancelled, SDError
from ..protocol.messages import Cancelled, Event, Failed, Fetched, Found, Installed, Order, Stage, Verified, text_of
from .inbox import Inbox, pump_until
from .process import ProcessPipeline

log = logging.getLogger("blender_sd")

_ENDED = ("finished", "cancelled", "failed")
_WINDOW = 10.0  # seconds over which the speed is measured
_STALLED = 5.0  # seconds without a byte after which a person is told


class Transfer:
    """One piece of such work. Read it freely; only `Transfers.pump` changes it, on the thread that pumps.

    `bytes_done` of `bytes_total` are on disk. `error`: why a failed one failed. `path`: what it has brought.
    """

    what = "The download"
    moving = "downloading"  # the state in which bytes come

    def __init__(self, owner: Transfers, state: str) -> None:
        self.id = uuid.uuid4().hex
        self.state = state
        self.path = ""
        self.bytes_done = self.bytes_total = 0
        self.error: SDError | None = None
        self.cancelling = False
        self._owner = owner
        self._marks: deque[tuple[float, int]] = deque()  # when how many bytes were there

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.state in _ENDED

    @property
    def progress(self) -> float:
        """The share of all bytes that is on disk, 0 to 1."""
        return 1.0 if self.state == "finished" else min(1.0, self.bytes_done / max(1, self.bytes_total))

    @property
    def eta(self) -> float | None:
        """Seconds left, None while unknown."""
        if self.state != self.moving or len(self._marks) < 2:
            return None
        (first, before), (last, now) = self._marks[0], self._marks[-1]
        return (self.bytes_total - now) * (last - first) / (now - before) if now > before and last > first else None

    @property
    def stalled(self) -> bool:
        """Whether nothing has come for a while; the process then tries again by itself."""
        return self.state == self.moving and bool(self._marks) and time.monotonic() - self._marks[-1][0] > _STALLED

    def cancel(self) -> bool:
        """End it; what has come is kept. False where it had ended already."""
        return self._owner.cancel(self)

    def result(self, timeout: float | None = None) -> str:
        """Pump on this thread until it has ended, and return `path`. `timeout`: seconds, None = without limit. Raises its
        error, JobCancelled, or TimeoutError (it goes on)."""
        pump_until(lambda: self.done, self._owner, timeout, self.what)
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise JobCancelled(f"{self.what} was cancelled.")
        return self.path

    # ---- changes, made by Transfers.pump -------------------------------------------------------------------------------

    def apply(self, event: Event, at: float) -> bool:
        """Take in one event that happened at `at` (time.monotonic); whether it changed anything."""
        if self.done:
            return False
        if isinstance(event, Installed):
            self.state, self.path, self.bytes_done = "finished", event.path, self.bytes_total
        elif isinstance(event, Cancelled) or isinstance(event, Failed) and self.cancelling:
            self.state = "cancelled" if self.error is None else "failed"
        elif isinstance(event, Failed):
            self.state, self.error = "failed", self._in_words(event.error())
            log.warning("%s failed (%s): %s\n%s", self.what, event.kind, event.message, event.detail)
        else:
            return self.hear(event, at)
        return True

    def hear(self, event: Event, at: float) -> bool:
        """Take in an event that is no ending; whether it changed anything."""
        raise NotImplementedError

    def mark(self, at: float, count: int) -> None:
        """`count` bytes are there at the time `at`."""
        if self._marks and count < self._marks[-1][1]:  # a broken file was thrown away, or another stage began
            self._marks.clear()
        self._marks.append((at, count))
        while at - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        self.bytes_done = count

    def _in_words(self, error: SDError) -> SDError:
        if isinstance(error, EngineDied):
            return EngineDied(f"{self.what} stopped unexpectedly.", "Start it again: it goes on where it stopped.", error.detail)
        return error


class Transfers:
    """All of one kind in this session. `told` hears of each that was found or has ended, on the thread that pumps."""

    def __init__(self, told: Callable[[Any], None] = lambda one: None) -> None:
        self._told = told
        self._all: list[Any] = []
        self._running: dict[str, tuple[ProcessPipeline, threading.Thread]] = {}
        self._inbox = Inbox()
        self._pumping = threading.RLock()
        self._pid = os.getpid()

    @property
    def all(self) -> list[Any]:
        """Oldest first. A copy."""
        return list(self._all)

    def begin(self, pipeline: ProcessPipeline, one: Transfer, order: Order) -> None:
        """Give `order` to `pipeline`, on a thread of its own; `one` hears of it."""
        self._all.append(one)
        thread = threading.Thread(target=self._watch, args=(pipeline, order), name=f"blender_sd {type(order).__name__}", daemon=True)
        if not self._running:
            atexit.register(self.shutdown)
        self._running[one.id] = (pipeline, thread)
        thread.start()

    def pump(self, budget: float | None = None) -> bool:
        """Apply what the processes said; whether anything changed. `budget` is there for `pump_until`: events are few and small."""
        changed = False
        with self._pumping:
            while (item := self._inbox.get()) is not None:
                at, event = item
                one = next((one for one in self._all if one.id == event.job), None)
                if one is not None and one.apply(event, at):
                    changed = True
                    if one.done:
                        self._running.pop(one.id, None)
                    if one.done or isinstance(event, Found):
                        self._told(one)
        return changed

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `pump` has something to do, at most `timeout` seconds; whether it has."""
        return self._inbox.wait(timeout)

    def cancel(self, one: Transfer, reason: SDError | None = None) -> bool:
        """End `one`, as failed where there is a `reason`."""
        if one.done or one.id not in self._running:
            return False
        one.cancelling, one.error = True, one.error or reason
        self._running[one.id][0].abort()
        return True

    def shutdown(self, timeout: float = 2.0) -> None:
        """End them all, within about `timeout` seconds."""
        if os.getpid() != self._pid:
            return  # a fork: the processes are not its own
        atexit.unregister(self.shutdown)
        threads = [thread for _, thread in self._running.values()]
        for one in self._all:
            self.cancel(one)
        for thread in threads:
            thread.join(timeout / len(threads))
        self.pump()

    def _watch(self, pipeline: ProcessPipeline, order: Order) -> None:
        try:
            pipeline.run(order, self._hear, lambda: False)
        except Exception as error:  # a defect of ours must not leave it at work for ever
            self._hear(Failed(order.job, SDError.kind, "An unexpected error ended it.", "The log holds the details.", text_of(error)))
        finally:
            pipeline.close()

    def _hear(self, event: Event) -> None:
        if getattr(event, "job", "") and isinstance(event, (Found, Fetched, Stage, Installed, Verified, Cancelled, Failed)):
            self._inbox.put(event)
