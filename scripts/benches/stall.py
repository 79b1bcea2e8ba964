"""Measure how long Blender's main thread is blocked, from the click to the committed 1024² image, with a cold engine.

Each case runs in a Blender (bpy) of its own: nothing going on (the machine's own noise), the job in an engine process,
and the same job inside Blender's process. The main thread behaves as Blender's does between callbacks: it lets go of
the GIL, takes it again, and now and then runs the add-on's timer. A stall is the time it got nothing done beyond what
it had asked for.
"""
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

from . import common

DESCRIPTION = "main-thread stalls from click to committed 1024² image: idle, engine process, in-thread"
NAP = 0.001  # s; how long the main thread lets go of the GIL each time
TICK = 0.03  # s; the add-on timer's pace while a job runs
IDLE_SECONDS = 20


def run(log: Callable[[str], None]) -> dict:
    figures: dict[str, float] = {}
    for case in ("idle", "process", "thread", "idle_after"):
        log(f"{case} …")
        found = _measure_apart(case)
        figures |= {f"{case}_{name}": value for name, value in found.items()}
    bars = {
        "p99 ms": common.bar(figures["process_p99_ms"], "< 2"),
        "p99.9 ms": common.bar(figures["process_p99.9_ms"], "< 8"),
        "longest ms": common.bar(figures["process_longest_ms"], "< 33"),
    }
    return {"figures": figures, "bars": bars}


def _measure_apart(case: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benches.stall", case], cwd=common.ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure(case: str) -> dict[str, float]:
    with common.addon(in_thread=case == "thread") as api:
        from blender_sd import scene
        from blender_sd.calls import models

        models.models()  # this and the next line are what opening the tab does, but for starting the engine
        scene.warm_up()
        if case.startswith("idle"):
            end = time.perf_counter() + IDLE_SECONDS
            stalls = _watch(api, lambda: time.perf_counter() > end)
        else:
            clicked = time.perf_counter()
            job = api.generate("red brick wall", seed=1, size=(1024, 1024), steps=4)
            stalls = [time.perf_counter() - clicked] + _watch(api, lambda: job.done)
            if job.error:
                raise job.error
            assert tuple(job.outputs[0].size) == (1024, 1024)
    return {
        "p99_ms": 1000 * common.percentile(stalls, 99),
        "p99.9_ms": 1000 * common.percentile(stalls, 99.9),
        "longest_ms": 1000 * max(stalls),
        "samples": len(stalls),
        "seconds": sum(stalls) + NAP * len(stalls),
    }


def _watch(api, done: Callable[[], bool]) -> list[float]:
    stalls, next_tick = [], 0.0
    while not done():
        start = time.perf_counter()
        time.sleep(NAP)  # lets go of the GIL and takes it again
        woke = time.perf_counter()
        stalls.append(max(0.0, woke - start - NAP))
        if woke >= next_tick:
            api.pump()
            next_tick = time.perf_counter() + TICK
            stalls.append(next_tick - TICK - woke)
    return stalls


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))
