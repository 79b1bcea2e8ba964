"""Measure the panel History with 5,000 pictures: time until they are shown, stalls of Blender's main thread, and search
time.

Blender (bpy) without a window: the panel's timer is ticked as Blender would, with the add-on registered. "Longest" is
the longest time that one tick took, from the moment when the panel was first drawn until all was read, waiting for the
interpreter's lock included.
"""
from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from . import common, pictures

DESCRIPTION = "opening and searching a history of 5,000 pictures: in all, and on the main thread"
COUNT = 5000
SEARCHES = ("b", "brick", "old brick moss", "seed:37", "no such words", "")
REPEATS = 9


def run(log: Callable[[str], None]) -> dict:
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        log(f"writing {COUNT} pictures …")
        pictures.paint(Path(folder), COUNT)
        log("opening …")
        opened = [_open(Path(folder)) for _ in range(REPEATS)]
        log("searching …")
        searched = _search(Path(folder))
        memory = _memory(Path(folder))
    figures = {name: common.median([one[name] for one in opened]) for name in opened[0]}
    figures |= {
        "main_thread_longest_ms": max(one["main_thread_longest_ms"] for one in opened),
        **searched,
        "memory_mb": memory,
    }
    bars = {
        "call that opens, ms": common.bar(figures["open_call_ms"], "< 10"),
        "first page, ms": common.bar(figures["first_page_ms"], "< 200"),
        "all read, ms": common.bar(figures["all_ms"], "< 2000"),
        "longest tick (median of openings), ms": common.bar(figures["tick_longest_ms"], "< 16"),
        "search result, longest ms": common.bar(figures["search_longest_ms"], "< 30"),
        "memory of 5,000 entries, MB": common.bar(memory, "< 20"),
    }
    return {"figures": figures, "bars": bars}


def _open(folder: Path) -> dict[str, float]:
    import blender_sd
    from blender_sd.calls.runtime import runtime
    from blender_sd.addon import history

    blender_sd.register()
    try:
        blender_sd.configure(output=str(folder))
        start = time.perf_counter()
        history.want()
        history.watch(lambda: True)
        history.update()
        called = time.perf_counter() - start
        first, ticks = 0.0, []
        while not history.shown().ready:
            before = time.perf_counter()
            history.watch(lambda: True)
            history.update()
            ticks.append(time.perf_counter() - before)
            first = first or (history.shown().entries and time.perf_counter() - start)
            time.sleep(0.005)
        done = time.perf_counter() - start
        assert history.shown().total == COUNT and runtime.history.view.ready
    finally:
        blender_sd.unregister()
    return {
        "open_call_ms": 1000 * called,
        "first_page_ms": 1000 * first,
        "all_ms": 1000 * done,
        "tick_longest_ms": 1000 * max(ticks),
        "main_thread_longest_ms": 1000 * max(ticks),
    }


def _search(folder: Path) -> dict[str, float]:
    """Measure from a key press in the search field until the page is ready to be drawn, all on the main thread."""
    import blender_sd
    from blender_sd.addon import history
    from blender_sd.calls.runtime import runtime

    blender_sd.register()
    try:
        blender_sd.configure(output=str(folder))
        history.want()
        runtime.history.refresh().result()
        history.update()
        times = {}
        for search in SEARCHES * REPEATS:
            start = time.perf_counter()
            history.state().search = search
            times.setdefault(search, []).append(1000 * (time.perf_counter() - start))
        assert history.shown().total == COUNT
    finally:
        blender_sd.unregister()
    return {"search_ms": common.median([one for many in times.values() for one in many]),
            "search_longest_ms": max(common.median(many) for many in times.values())}


def _memory(folder: Path) -> float:
    """Return the MB that the entries take."""
    from blender_sd.library.history import History

    tracemalloc.start()
    history = History(str(folder))
    try:
        assert len(history.refresh().result().entries) == COUNT
        return tracemalloc.get_traced_memory()[0] / 1e6
    finally:
        tracemalloc.stop()
        history.close()
