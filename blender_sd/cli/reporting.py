"""What the command line prints: results on standard output, progress and errors on standard error."""
from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import SDError
from .interrupts import Interrupts

if TYPE_CHECKING:
    from ..session.job import Job

_EVERY = 10.0  # seconds between two lines about the same picture, where there is no terminal
_REDRAWN = 0.1  # seconds between two drawings of the bar
_BAR = 24  # characters
_PATIENCE = 0.2  # seconds between looks at the signals


def fail(error: SDError, status: int, as_json: bool, where: str = "") -> int:
    """Print an error, on standard output too where that is JSON. Return `status`."""
    place = f"{where}: " if where else ""
    print(f"sd: {place}{error}", file=sys.stderr, flush=True)
    if as_json:
        record("error", where=where, kind=error.kind, message=error.message, hint=error.hint, status=status)
    return status


def record(event: str, **values: Any) -> None:
    """Print an event as one line of JSON, in ASCII: nobody knows what encoding a farm's log has."""
    print(json.dumps({"event": event, **values}, default=str), flush=True)


def end(as_json: bool, status: int, made: int = 0, failed: int = 0, cancelled: int = 0) -> int:
    """Print the last event of a single job, where output is JSON. Return `status`."""
    if as_json:
        record("end", status=status, made=made, kept=0, failed=failed, cancelled=cancelled)
    return status


def wait(job: Job, progress: Progress, interrupts: Interrupts) -> None:
    """Show how far a single job is until it has ended, or a signal has come."""
    from ..calls.runtime import runtime

    while not job.done and not interrupts.status:
        runtime.wait(_PATIENCE)
        runtime.pump(None)
        progress.show(0, job.label, job.text, job.progress, job.eta)


class Progress:
    """Show how far the pictures are: a bar on a terminal, lines otherwise.

    Args:
        total: The number of pictures or frames.
        quiet: Whether to show nothing.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self._total, self._quiet = total, quiet
        self._terminal = sys.stderr.isatty()
        self._width = 0  # characters of the bar that is on the terminal
        self._next = 0.0  # when the next one may be drawn
        self._last = ""

    def show(self, done: int, name: str, text: str, share: float, eta: float | None) -> None:
        """Show that one is being made.

        Args:
            done: How many are finished.
            name: What the current one is called.
            text: What is being done.
            share: The finished share of the current one, 0 to 1.
            eta: Seconds until it is finished; None where that is not known.
        """
        if self._quiet or time.monotonic() < self._next:
            return
        left = f", {eta:.0f} s left" if eta is not None else ""
        if self._terminal:
            self._next = time.monotonic() + _REDRAWN
            filled = round(_BAR * min(1.0, (done + share) / max(1, self._total)))
            self._draw(f"[{'#' * filled}{'.' * (_BAR - filled)}] {done} of {self._total}  {name}: {text}{left}"[:110])
        else:
            self._next = time.monotonic() + _EVERY
            if (line := f"{name}: {text}{left}") != self._last:
                self._last = line
                print(f"sd: {line}", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        """Print a line for good."""
        if not self._quiet:
            self._draw("")
            print(f"sd: {text}", file=sys.stderr, flush=True)
            self._next = 0.0

    def close(self) -> None:
        """Remove the bar."""
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._terminal and (text or self._width):
            sys.stderr.write(f"\r{text}{' ' * max(0, self._width - len(text))}" + ("" if text else "\r"))
            sys.stderr.flush()
            self._width = len(text)
