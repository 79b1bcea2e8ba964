"""Ctrl-C and the farm's signal to end: the first cancels cleanly, a second Ctrl-C ends the process at once."""
from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from . import exits

_SIGNALS = {signal.SIGINT: exits.INTERRUPTED, signal.SIGTERM: exits.TERMINATED}


class Interrupts:
    """A context in which `status` becomes an exit code once the process is asked to end; 0 before."""

    def __init__(self) -> None:
        self.status = exits.DONE
        self._before: dict[Any, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._asked) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        """Note the request. The system itself handles the next Ctrl-C, even inside a render or another long call; the
        engines end by themselves when their process is gone."""
        self.status = self.status or _SIGNALS[signal.Signals(number)]
        signal.signal(signal.SIGINT, signal.SIG_DFL)
