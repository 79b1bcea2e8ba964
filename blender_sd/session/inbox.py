"""Pass events from background threads to the main thread."""
from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ..protocol.messages import Fetched, Stage, Step

_SLICE = 0.5  # seconds; on Windows a wait on a lock delays Ctrl-C until it returns


class Inbox:
    """A thread-safe queue of events, each with the time it came (`time.monotonic()`).

    A `Step` replaces the same job's preceding `Step`, and so do `Fetched` and `Stage`: while the main thread is busy
    (with a render or a file dialog) at most one preview per job waits, the newest one.

    Args:
        changed: Notified when an event comes; shared by inboxes that are waited for together.
    """

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self._events: deque[tuple[float, Any]] = deque()
        self._changed = changed or threading.Condition()

    def put(self, event: object) -> None:
        with self._changed:
            if self._events and isinstance(event, (Step, Fetched, Stage)):
                last = self._events[-1][1]
                if type(last) is type(event) and last.job == event.job:
                    self._events.pop()
                    if isinstance(event, Step) and isinstance(last, Step) and event.preview is None:
                        event = dataclasses.replace(event, preview=last.preview)
            self._events.append((time.monotonic(), event))
            self._changed.notify_all()

    def get(self) -> tuple[float, Any] | None:
        """Return the oldest event with its time, or None."""
        with self._changed:
            return self._events.popleft() if self._events else None

    def waits(self) -> bool:
        """Return whether an event is there."""
        return bool(self._events)

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds for an event, and return whether there is one."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._events), timeout)


class Pumped(Protocol):
    """The part of a queue's owner that `pump_until` needs."""

    def pump(self, budget: float | None) -> bool: ...

    def wait(self, timeout: float | None) -> bool: ...


def pump_until(done: Callable[[], bool], owner: Pumped, timeout: float | None, what: str) -> None:
    """Pump `owner` on this thread until `done()` is true.

    Args:
        done: Returns whether to stop.
        owner: What to pump.
        timeout: Seconds to wait; None for no limit.
        what: The subject of the error message.

    Raises:
        TimeoutError: The time is over.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        owner.pump(None)
        if done():
            return
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"{what} has not finished within {timeout:g} s; it goes on.")
        owner.wait(left)
