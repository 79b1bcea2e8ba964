"""Measure the time from the click to the first preview: with nothing started, with the engine up, with the model
loaded.
"""
from __future__ import annotations

import time
from collections.abc import Callable

from . import common

DESCRIPTION = "seconds from click to first preview: cold, engine started, model loaded"
REPEATS = 3


def run(log: Callable[[str], None]) -> dict:
    cases: dict[str, list[float]] = {"cold": [], "engine_up": [], "warm": []}
    with common.addon() as api:
        for turn in range(REPEATS):
            log(f"turn {turn + 1} of {REPEATS}")
            api.shutdown()
            cases["cold"].append(_first_preview(api))
            cases["warm"].append(_first_preview(api))
            api.shutdown()
            api.start_engine()
            common.wait_until(api, lambda: api.engine_status()[0] != "starting")
            cases["engine_up"].append(_first_preview(api))
    return {"figures": {f"{case}_s": common.median(times) for case, times in cases.items()}, "bars": {}}


def _first_preview(api) -> float:
    start = time.perf_counter()
    job = api.generate("red brick wall", seed=1, size=(256, 256), steps=20)
    common.wait_until(api, lambda: job.preview is not None or job.done)
    spent = time.perf_counter() - start
    if job.error:
        raise job.error
    assert job.preview is not None, "the job ended without a preview"
    job.cancel()
    common.wait_until(api, lambda: job.done)
    return spent
