"""Work in slices: memory stays bounded, all cores help, and a cancelled job stops between two slices."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from ..core.errors import JobCancelled

SLICE = 1 << 17  # entries; a slice's arrays stay in the processor's cache
_WORKERS = max(1, min(8, os.cpu_count() or 1))

Cancelled = Callable[[], bool]


def never() -> bool:
    """Return that nothing is cancelled."""
    return False


def check(cancelled: Cancelled) -> None:
    """Raise JobCancelled if the job is to stop."""
    if cancelled():
        raise JobCancelled("Cancelled.")


def spans(count: int, size: int = SLICE) -> Iterator[slice]:
    """Yield the slices of `count` entries."""
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))


def each(work: Callable[[slice], None], count: int, cancelled: Cancelled = never, size: int = SLICE) -> None:
    """Call `work` for every slice of `count` entries, on several cores. Slices must not write to the same places.

    Raises:
        JobCancelled: `cancelled` returned True; slices that had begun were finished.
    """
    check(cancelled)
    parts = list(spans(count, size))
    if len(parts) == 1 or _WORKERS == 1:
        for part in parts:
            check(cancelled)
            work(part)
        return

    def guarded(part: slice) -> None:
        if not cancelled():
            work(part)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for done in as_completed([pool.submit(guarded, part) for part in parts]):
            done.result()
    check(cancelled)
