"""Run work that takes minutes and is measured in bytes, each in its own process, watched by its own thread.

To cancel is to end the process: what it has written stays, and the next one resumes from there.
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

from ..core.errors import EngineDied, JobCancelled, SDError
from ..protocol import endings
from ..protocol.messages import Cancelled, Event, Failed, Fetched, Found, Installed, Stage, Verified, WorkRequest
from .inbox import Inbox, pump_until
from .process import ProcessPipeline

log = logging.getLogger("blender_sd")

_ENDED = ("finished", "cancelled", "failed")
_WINDOW = 10.0  # seconds over which the speed is measured
_STALLED = 5.0  # seconds without a byte after which the panel says so


class Transfer:
    """A piece of such work. Only `Transfers.pump` changes it, on the thread that pumps.

    Attributes:
        state: Its state; which ones there are depends on its kind.
        bytes_done, bytes_total: The bytes on disk, and all bytes.
        error: Why it failed.
        online: Whether it uses the internet, so that it has to end where Blender may no longer do so.
        path: Its result.
    """

    what = "The download"
    moving = "downloading"  # the state in which bytes come
    # What a person can do where Blender may not use the internet.
    go_online = "Switch on Preferences › System › Network › Allow Online Access (for blender -b: --online-mode)."

    def __init__(self, owner: Transfers, state: str) -> None:
        self.id = uuid.uuid4().hex
        self.state = state
        self.path = ""
        self.bytes_done = self.bytes_total = 0
        self.error: SDError | None = None
        self.cancelling = False
        self.online = False
        self._owner = owner
        self._marks: deque[tuple[float, int]] = deque()  # times, each with the number of bytes on disk

    @property
    def done(self) -> bool:
        """Whether it has ended in any way."""
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
        """Whether nothing has come for a while; the process then retries by itself."""
        return self.state == self.moving and bool(self._marks) and time.monotonic() - self._marks[-1][0] > _STALLED

    def cancel(self) -> bool:
        """Cancel it; what has come is kept. Return False if it had ended already."""
        return self._owner.cancel(self)

    def result(self, timeout: float | None = None) -> str:
        """Pump on this thread until it has ended, and return `path`.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            SDError: It failed.
            JobCancelled: It was cancelled.
            TimeoutError: It is still running, and goes on.
        """
        pump_until(lambda: self.done, self._owner, timeout, self.what)
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise JobCancelled(f"{self.what} was cancelled.")
        return self.path

    # ---- changes, made by Transfers.pump -----------------------------------------------------------------------------

    def apply(self, event: Event, at: float) -> bool:
        """Apply an event that happened at the time `at` (`time.monotonic()`). Return whether anything changed."""
        if self.done:
            return False
        if isinstance(event, Installed):
            self.state, self.path, self.bytes_done = "finished", event.path, self.bytes_total
        elif isinstance(event, Cancelled) or isinstance(event, Failed) and self.cancelling:
            self.state = "cancelled" if self.error is None else "failed"
        elif isinstance(event, Failed):
            self.state, self.error = "failed", self._described(event.error())
            log.warning("%s failed (%s): %s\n%s", self.what, event.kind, event.message, event.detail)
        else:
            return self.on_event(event, at)
        return True

    def on_event(self, event: Event, at: float) -> bool:
        """Apply an event that is not an ending. Return whether anything changed."""
        raise NotImplementedError

    def mark(self, at: float, count: int) -> None:
        """Record that `count` bytes are on disk at the time `at`."""
        if self._marks and count < self._marks[-1][1]:  # a broken file was deleted, or another stage began
            self._marks.clear()
        self._marks.append((at, count))
        while at - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        self.bytes_done = count

    def _described(self, error: SDError) -> SDError:
        if isinstance(error, EngineDied):
            return EngineDied(f"{self.what} stopped unexpectedly.", "Start it again: it goes on where it stopped.",
                              error.detail)
        return error


class Transfers:
    """Manage all transfers of one kind in this session.

    Args:
        on_change: Called with each transfer that was found or has ended, on the thread that pumps.
        changed: See `Inbox`.
    """

    def __init__(self, on_change: Callable[[Any], None] = lambda transfer: None,
                 changed: threading.Condition | None = None) -> None:
        self._on_change = on_change
        self._all: list[Any] = []
        self._running: dict[str, tuple[ProcessPipeline, threading.Thread]] = {}
        self._inbox = Inbox(changed)
        self._pumping = threading.RLock()
        self._pid = os.getpid()

    @property
    def all(self) -> list[Any]:
        """All transfers, the oldest first. A copy."""
        return list(self._all)

    def begin(self, pipeline: ProcessPipeline, transfer: Transfer, request: WorkRequest) -> None:
        """Run `request` in `pipeline` on a thread of its own; its events go to `transfer`."""
        self._all.append(transfer)
        thread = threading.Thread(target=self._watch, args=(pipeline, request),
                                  name=f"blender_sd {type(request).__name__}", daemon=True)
        if not self._running:
            atexit.register(self.shutdown)
        self._running[transfer.id] = (pipeline, thread)
        thread.start()

    def pump(self, budget: float | None = None) -> bool:
        """Apply the waiting events and return whether anything changed.

        Args:
            budget: Ignored, since events are few and small; `pump_until` passes it.
        """
        changed = False
        with self._pumping:
            while (item := self._inbox.get()) is not None:
                at, event = item
                transfer = next((known for known in self._all if known.id == event.job), None)
                if transfer is not None and transfer.apply(event, at):
                    changed = True
                    if transfer.done:
                        self._running.pop(transfer.id, None)
                    if transfer.done or isinstance(event, Found):
                        self._on_change(transfer)
        return changed

    def waits(self) -> bool:
        """Return whether `pump` has something to do."""
        return self._inbox.waits()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds until `pump` has something to do, and return whether it has."""
        return self._inbox.wait(timeout)

    def cancel(self, transfer: Transfer, reason: SDError | None = None) -> bool:
        """Cancel `transfer`; it ends as failed if there is a `reason`."""
        if transfer.done or transfer.id not in self._running:
            return False
        transfer.cancelling, transfer.error = True, transfer.error or reason
        self._running[transfer.id][0].abort()
        return True

    def shutdown(self, timeout: float = 2.0) -> None:
        """Cancel all transfers within about `timeout` seconds."""
        if os.getpid() != self._pid:
            return  # in a fork, which does not own the processes
        atexit.unregister(self.shutdown)
        threads = [thread for _, thread in self._running.values()]
        for transfer in self._all:
            self.cancel(transfer)
        for thread in threads:
            thread.join(timeout / len(threads))
        self.pump()

    def _watch(self, pipeline: ProcessPipeline, request: WorkRequest) -> None:
        endings.run(pipeline, request, self._post, lambda: False)
        pipeline.close()

    def _post(self, event: Event) -> None:
        if getattr(event, "job", "") and isinstance(event,
                                                    (Found, Fetched, Stage, Installed, Verified, Cancelled, Failed)):
            self._inbox.put(event)
