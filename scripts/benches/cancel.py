"""Measure how soon a cancel frees the engine, and whether 1000 cancels at random moments damage a following job."""
from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "cancel to free engine (stepping, loading), and 1000 random cancels with follow-up jobs checked"
CANCELS = 1000
FOLLOW_UP = 5  # a job is checked after every so many cancels
SEED = 20
LATENCY_REPEATS = 5


def run(log: Callable[[str], None]) -> dict:
    with common.addon() as api, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        figures = {"loading_s": _while_loading(api, log)} | _while_stepping(api, log)
        figures |= many(api, common.tiny_model(Path(folder) / "tiny"), log)
    bars = {
        "steps to free": common.bar(figures["steps_to_free"], "<= 1.1"),
        "loading s": common.bar(figures["loading_s"], "< 2"),
        "damaged": common.bar(figures["damaged"], "== 0"),
        "partial files": common.bar(figures["partial_files"], "== 0"),
        "cancels": common.bar(figures["cancels"], ">= 1000"),
    }
    return {"figures": figures, "bars": bars}


def _ended_after_cancel(api, job) -> float:
    start = time.perf_counter()
    job.cancel()
    common.wait_until(api, lambda: job.done)
    return time.perf_counter() - start


def _while_loading(api, log) -> float:
    """Return the longest of a few cancels sent while the engine starts or the model loads."""
    longest = 0.0
    for delay in (0.0, 0.3, 1.0, 2.0):
        log(f"cancel {delay} s into a cold start")
        api.shutdown()
        job = api.generate("red brick wall", seed=1, size=(256, 256), steps=20)
        end = time.perf_counter() + delay
        common.wait_until(api, lambda end=end: time.perf_counter() >= end)
        longest = max(longest, _ended_after_cancel(api, job))
        assert job.state == "cancelled", job.state
    return longest


def _while_stepping(api, log) -> dict[str, float]:
    """Return the median time from a cancel in the middle of a 512² job to a free engine, in seconds and in steps of
    that job.
    """
    api.generate("warm", seed=1, size=(512, 512), steps=2).result()
    waits, steps = [], []
    for turn in range(LATENCY_REPEATS):
        job = api.generate("red brick wall", seed=turn, size=(512, 512), steps=50)
        common.wait_until(api, lambda job=job: job.step >= 2)
        first, start = job.step, time.perf_counter()
        common.wait_until(api, lambda job=job, first=first: job.step >= first + 4)
        steps.append((time.perf_counter() - start) / (job.step - first))
        waits.append(_ended_after_cancel(api, job))
    figures = {"stepping_s": common.median(waits), "stepping_longest_s": max(waits), "step_s": common.median(steps)}
    figures["steps_to_free"] = figures["stepping_s"] / figures["step_s"]
    log(f"cancel while stepping: {figures['stepping_s']:.3f} s, a step takes {figures['step_s']:.3f} s")
    return figures


def many(api, model: str, log: Callable[[str], None]) -> dict[str, float]:
    """Send `CANCELS` cancels at random moments of jobs of the tiny `model`; check a job after every `FOLLOW_UP` of
    them.
    """
    dice = random.Random(SEED)
    before = set(api.output_folder().iterdir())

    def order(seed: int):
        return api.generate("red brick wall", seed=seed, size=(64, 64), steps=8, model=model)

    reference = order(7)
    reference.result()
    expected, length = _pixels(reference), _job_seconds(order)
    finished, damaged, late = 2, 0, 0  # both jobs above
    for turn in range(CANCELS):
        job = order(turn)
        end = time.perf_counter() + dice.uniform(0, length)
        while (left := end - time.perf_counter()) > 0 and not job.done:
            api.wait(left)
            api.pump()
        job.cancel()
        common.wait_until(api, lambda job=job: job.done)
        late += job.state == "finished"
        if turn % FOLLOW_UP == 0:
            follow_up = order(7)
            follow_up.result()
            finished += 1
            damaged += _pixels(follow_up) != expected
            api.clear_jobs()
        if turn % 100 == 99:
            log(f"{turn + 1} cancels, {damaged} damaged")
    kept = {path for path in api.output_folder().iterdir() if path.is_file()} - before
    whole = sum(map(_is_whole, kept))
    return {
        "cancels": CANCELS,
        "finished_before_the_cancel": late,
        "follow_ups": CANCELS // FOLLOW_UP,
        "damaged": damaged,
        "partial_files": len(kept) - whole,
        "pictures_done_before_their_cancel_was_heard": whole - finished - late,
    }


def _is_whole(path: Path) -> bool:
    """Return whether the file is a complete picture with its settings: the engine was done before the cancel reached
    it.
    """
    from blender_sd.library import png
    from PIL import Image

    if path.suffix != ".png" or png.REQUEST_KEY not in png.read_text(path):
        return False
    with Image.open(path) as picture:
        picture.load()  # raises for a truncated file
    return True


def _pixels(job) -> bytes:
    from PIL import Image

    return Image.open(job.results[0].path).tobytes()


def _job_seconds(order) -> float:
    start = time.perf_counter()
    order(8).result()
    return time.perf_counter() - start
