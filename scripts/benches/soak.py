"""Run 500 jobs in a row: check that memory, open files and threads of Blender and the engine stay as after the first
ten.

Bars were set before anything was measured: 20 KB of memory a job in either process (a day of 5,000 pictures then costs
100 MB), and not one file, pipe or thread more. Memory is what is resident but for mapped files, whose pages come and go
with other processes that map them too. A slope is the median of all pairs' slopes (Theil-Sen), so that single jumps of
the allocator do not count; the last hundred jobs against the first hundred after the warm-up stand beside it.

Two rounds. In the first the artist keeps everything: every picture stays in the open file, packed, and the queue is
never cleared; from Blender's memory the packed files' bytes are taken off, since they are what the artist asked for. In
the second the pictures are removed and the queue is cleared, as in a batch.
"""
from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "500 jobs in a row: memory, open files and threads of Blender and the engine after the first ten"
JOBS = 500
WARM_UP = 10  # jobs
EDGE = 100  # jobs at either end, for the medians
KB_PER_JOB = 20


def run(log: Callable[[str], None]) -> dict:
    figures: dict[str, float] = {}
    with common.addon(threads=1) as api, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = common.tiny_model(Path(folder) / "tiny")
        for name, keep in (("keeping", True), ("removing", False)):
            figures |= {f"{name}_{key}": value for key, value in _round(api, model, keep, log).items()}
    bars = {f"{name} {process} KB a job": common.bar(figures[f"{name}_{process}_kb_per_job"], f"< {KB_PER_JOB}")
            for name in ("keeping", "removing") for process in ("blender", "engine")}
    bars |= {f"{name} {process} {what} more": common.bar(figures[f"{name}_{process}_{what}_more"], "<= 0")
             for name in ("keeping", "removing") for process in ("blender", "engine") for what in ("files", "threads")}
    bars["jobs"] = common.bar(min(figures["keeping_jobs"], figures["removing_jobs"]), f">= {JOBS}")
    return {"figures": figures, "bars": bars}


def _runtime():
    from blender_sd.calls.runtime import runtime

    return runtime


def _round(api, model: str, keep: bool, log) -> dict[str, float]:
    """Run `JOBS` jobs after a warm-up. Return the figures of both processes."""
    import bpy
    import psutil

    api.clear_jobs()
    series: dict[str, list[tuple[float, int, int]]] = {"blender": [], "engine": []}
    packed, finished = 0, 0
    for number in range(WARM_UP + JOBS):
        job = api.generate("red brick wall", seed=number, size=(64, 64), steps=4, model=model)
        image, = job.result(120)
        finished += 1
        if keep:
            packed += image.packed_file.size
        else:
            bpy.data.images.remove(image)
            api.clear_jobs()
        engine = psutil.Process(_runtime().session._workers[0]._pipeline.pid)
        for name, process, own in (("blender", psutil.Process(), packed), ("engine", engine, 0)):
            memory = process.memory_info()
            series[name].append(
                ((memory.rss - getattr(memory, "shared", 0) - own) / 1024, _files(process), process.num_threads())
            )
        if number % 100 == 99:
            log(f"{'keeping' if keep else 'removing'}: {number + 1} jobs, " + ", ".join(
                f"{name} {values[-1][0] / 1024:.0f} MB" for name, values in series.items()))
    figures: dict[str, float] = {"jobs": finished - WARM_UP}
    for name, values in series.items():
        memory, files, threads = zip(*values[WARM_UP:], strict=True)
        figures |= {
            f"{name}_kb_per_job": slope(memory), f"{name}_mb_at_the_end": memory[-1] / 1024,
            f"{name}_kb_more": statistics.median(memory[-EDGE:]) - statistics.median(memory[:EDGE]),
            f"{name}_files_more": _more(files), f"{name}_threads_more": _more(threads),
        }
    return figures


def _files(process) -> int:
    """Return how many files, pipes and the like it has open; on Windows, handles."""
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()


def slope(values: tuple[float, ...]) -> float:
    """Return the median of the slopes of all pairs of points (Theil-Sen), in units of `values` for each step."""
    pairs = itertools.combinations(enumerate(values), 2)
    return statistics.median((end - start) / (later - earlier) for (earlier, start), (later, end) in pairs)


def _more(counts: tuple[int, ...]) -> float:
    """Return how much higher the counts are at the end than at the beginning."""
    return statistics.median(counts[-EDGE:]) - statistics.median(counts[:EDGE])
