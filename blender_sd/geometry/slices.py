"""Work in slices: memory stays bounded, all cores help, and a cancelled job stops between two slices."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TypeVar

from ..core.errors import JobCancelled

SLICE = 1 << 17  # entries; a slice's arrays stay in the processor's cache
_MOST = 8  # threads; with more, memory is the limit
_workers = max(1, min(_MOST, os.cpu_count() or 1))

Cancelled = Callable[[], bool]
Progress = Callable[[float], None]
_T = TypeVar("_T")


def use(cores: int) -> None:
    """Let work go on in at most `cores` threads from now on."""
    global _workers
    _workers = max(1, min(_MOST, cores))


def workers() -> int:
    """Return how many threads work at a time."""
    return _workers


def never() -> bool:
    """Return that nothing is cancelled."""
    return False


def unwatched(_share: float) -> None:
    """Do nothing with the share that is done."""


def check(cancelled: Cancelled) -> None:
    """Raise JobCancelled if the job is to stop."""
    if cancelled():
        raise JobCancelled("Cancelled.")


def spans(count: int, size: int = SLICE) -> Iterator[slice]:
    """Yield the slices of `count` entries."""
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))


def each(work: Callable[[slice], None], count: int, cancelled: Cancelled = never, size: int = SLICE,
         progress: Progress = unwatched) -> None:
    """Call `work` for every slice of `count` entries, on several cores. Slices must not write to the same places.

    `progress` is called with the share that is done, on the calling thread.

    Raises:
        JobCancelled: `cancelled` returned True; slices that had begun were finished.
    """
    together([partial(work, part) for part in spans(count, size)], cancelled, progress)


def together(works: Sequence[Callable[[], _T]], cancelled: Cancelled = never, progress: Progress = unwatched
             ) -> list[_T]:
    """Call functions on several cores, and return their results in order; `progress` and errors as for `each`."""
    check(cancelled)
    if len(works) <= 1 or _workers == 1:
        results = []
        for work in works:
            check(cancelled)
            results.append(work())
            progress(len(results) / len(works))
        return results

    def guarded(work: Callable[[], _T]) -> _T | None:
        return None if cancelled() else work()

    with ThreadPoolExecutor(_workers) as pool:
        running = [pool.submit(guarded, work) for work in works]
        for count, done in enumerate(as_completed(running), 1):
            done.result()
            progress(count / len(works))
    check(cancelled)
    return [done.result() for done in running]  # type: ignore[misc]  # None only where `check` has raised
