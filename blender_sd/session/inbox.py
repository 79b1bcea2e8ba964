"""Where the background thread leaves events for the main thread."""
from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque

from ..protocol.messages import Step


class Inbox:
    """A queue of events, each with the time it came (time.monotonic). Safe from any thread.

    A `Step` takes the place of the same job's `Step` before it: while the main thread is busy (a render, a file
    dialog) at most one preview per job waits, and the newest wins.
    """

    def __init__(self) -> None:
        self._events: deque[tuple[float, object]] = deque()
        self._changed = threading.Condition()

    def put(self, event: object) -> None:
        with self._changed:
            if self._events and isinstance(event, Step):
                last = self._events[-1][1]
                if isinstance(last, Step) and last.job == event.job:
                    self._events.pop()
                    if event.preview is None:
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
