"""Measure a farm on one machine: two workers against one, workers that are killed, and an output folder that several
processes share.
"""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "pictures per minute of two workers against one, random kills of workers, and a shared output folder"
PICTURES = 24  # for the throughput
KILLED, KILLS = 16, 20  # pictures, and how often a worker is killed meanwhile
SHARED = 4  # processes that use one folder
_LIMIT = 1800.0  # seconds for all kills


def run(log: Callable[[str], None]) -> dict:
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        one, two = (_throughput(folder, workers, log) for workers in (1, 2))
        missing, doubled, different = _kills(folder, one, log)
        clashes = _shared(folder, log)
    load = _loading(one)
    figures = {"one_worker_per_minute": one["rate"], "two_workers_per_minute": two["rate"], "start_s": one["start"],
               "picture_s": 60 / one["rate"], **load}
    return {"figures": figures, "bars": {
        "two_to_one": common.bar(round(two["rate"] / one["rate"], 2), ">= 1.8"),
        "missing": common.bar(missing, "== 0"), "doubled": common.bar(doubled, "== 0"),
        "different": common.bar(different, "== 0"), "clashes": common.bar(clashes, "== 0")}}


def _jobs(folder: Path, count: int, steps: int) -> Path:
    path = folder / f"jobs_{count}_{steps}.json"
    path.write_text(json.dumps({"format": 2, "settings": {"steps": steps, "size": [256, 256]}, "jobs": [
        {"name": f"p{number:03d}", "prompt": "red brick wall", "seed": number} for number in range(count)]}), "utf-8")
    return path


def _start(folder: Path, jobs: Path, output: str, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "blender_sd", "batch", str(jobs), "--output", str(folder / output), "--threads",
               "1", "--engine-python", sys.executable, "--json", "--quiet", "--resume", *options]
    return subprocess.Popen(command, cwd=common.ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env={**os.environ, "SD_BASE": str(folder / "base")})


def _throughput(folder: Path, workers: int, log: Callable[[str], None]) -> dict[str, float]:
    """Return pictures per minute between the first ones and the last, and the seconds until the first."""
    began = time.monotonic()
    process = _start(folder, _jobs(folder, PICTURES, 20), f"rate{workers}", "--workers", str(workers))
    times = [time.monotonic() for line in process.stdout if '"made"' in line and '"path"' in line]
    process.wait()
    if len(times) != PICTURES:
        raise RuntimeError(f"{len(times)} of {PICTURES} pictures were made")
    warm = 2 * workers  # each engine has its model and its pace by then
    rate = 60 * (PICTURES - warm) / (times[-1] - times[warm - 1])
    log(f"{workers} workers: {rate:.1f} pictures per minute, the first after {times[0] - began:.1f} s")
    return {"rate": rate, "start": times[0] - began}


def _loading(one: dict[str, float]) -> dict[str, float]:
    """Return from how many pictures in a task on starting and loading take less than a tenth of its time."""
    return {"chunk_below_tenth": float(-(-9 * (one["start"] - 60 / one["rate"]) // (60 / one["rate"])))}


def _kills(folder: Path, one: dict[str, float], log: Callable[[str], None]) -> tuple[int, int, int]:
    """Return how many pictures are missing, doubled or different after all kills, against an undisturbed run."""
    jobs = _jobs(folder, KILLED, 20)
    if _start(folder, jobs, "calm").wait():
        raise RuntimeError("the undisturbed run failed")
    dice, kills, began = random.Random(7), 0, time.monotonic()
    while True:
        process = _start(folder, jobs, "stormy")
        if kills < KILLS:
            time.sleep(dice.uniform(0.5 * one["start"], one["start"] + 240 / one["rate"]))  # in any of its states
        if kills < KILLS and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.communicate()
            log(f"kill {kills} of {KILLS}: {len(list((folder / 'stormy').glob('*.png')))} pictures")
            continue
        if process.communicate() and process.returncode == 0 and kills >= KILLS:
            break
        if kills < KILLS:  # all are there before the last kill: take some away, as a lost disk does
            for path in dice.sample(sorted((folder / "stormy").glob("*.png")), KILLED // 2):
                path.unlink()
        if time.monotonic() - began > _LIMIT:
            raise TimeoutError("the kills took too long")
    calm, stormy = ({path.name: _pixels(path) for path in (folder / name).glob("*.png")} for name in ("calm", "stormy"))
    return (len(calm.keys() - stormy.keys()), len(stormy.keys() - calm.keys()),
            sum(stormy[name] != calm[name] for name in stormy.keys() & calm.keys()))


def _pixels(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as image:
        return image.tobytes()


def _shared(folder: Path, log: Callable[[str], None]) -> int:
    """Return how many of the pictures of several processes in one folder were lost to one another's names."""
    jobs = _jobs(folder, 6, 8)
    whole = json.loads(jobs.read_text("utf-8"))
    for job in whole["jobs"]:
        del job["name"]
    processes = []
    for number in range(SHARED):
        for index, job in enumerate(whole["jobs"]):
            job |= {"seed": 100 * number + index, "name": f"w{number}_{index}"}
        path = folder / f"shared_{number}.json"
        path.write_text(json.dumps(whole), "utf-8")
        processes.append(_start(folder, path, "shared"))
    statuses = [process.communicate() and process.returncode for process in processes]
    made = len(list((folder / "shared").glob("*.png")))
    log(f"{SHARED} processes, one folder: {made} pictures, exit codes {statuses}")
    return SHARED * len(whole["jobs"]) - made + sum(map(bool, statuses))
