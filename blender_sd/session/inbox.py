"""Where the background thread leaves events for the main thread."""
from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..protocol.messages import Fetched, Stage, Step

_SLICE = 0.5  # seconds; on Windows a wait on a lock delays Ctrl-C until it returns


class Inbox:
    """A queue of events, each with the time it came (time.monotonic). Safe from any thread.

    A `Step` takes the place of the same job's `Step` before it, and so do `Fetched` and `Stage`: while the main thread is busy
    (a render, a file dialog) at most one preview per job waits, and the newest wins.
    """

    def __init__(self) -> None:
        self._events: deque[tuple[float, object]] = deque()
        self._changed = threading.Condition()

    def put(self, event: object) -> None:
        with self._changed:
            if self._events and isinstance(event, (Step, Fetched, Stage)):
                last = self._events[-1][1]
                if type(last) is type(event) and last.job == event.job:
                    self._events.pop()
                    if isinstance(event, Step) and event.preview is None:
                        event = dataclasses.replace(event, preview=last.preview)
            self._events.append((time.monotonic(), event))
            self._changed.notify_all()

    def get(self) -> tuple[float, object] | None:
        """The oldest event and its time, or None."""
        with self._changed:
            return self._events.popleft() if self._events else None

    def wait(self, timeout: float | None) -> bool:
        """Wait until an event is there, `timeout` seconds at most; whether one is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._events), timeout)


class Pumped(Protocol):
    """What `pump_until` needs of a queue's owner."""

    def pump(self, budget: float | None) -> bool: ...

    def wait(self, timeout: float | None) -> bool: ...


def pump_until(done: Callable[[], bool], owner: Pumped, timeout: float | None, what: str) -> None:
    """Pump `owner` on this thread until `done()`. Raises TimeoutError, with the words `what`, after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        owner.pump(None)
        if done():
            return
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"{what} has not finished within {timeout:g} s; it goes on.")
        owner.wait(left)
