"""Measure a farm on one machine: two workers against one, workers that are killed, and an output folder that several
processes share. The parts can be measured one by one: `bench.py farm rate`.
"""
from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import common

DESCRIPTION = "pictures per minute of two workers against one, random kills of workers, and a shared output folder"
PARTS = ("rate", "kills", "shared")
PICTURES, TURNS = 12, 2  # for the throughput
KILLED, KILLS = 8, 20  # pictures, and how often a worker is killed meanwhile
SHARED, EACH = 4, 3  # processes that use one folder, and pictures of each
_LIMIT = 1800.0  # seconds for all kills


def run(log: Callable[[str], None], parts: Sequence[str] = PARTS) -> dict:
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as name:
        for part in parts:
            folder = Path(name) / part
            folder.mkdir()
            values, limits = {"rate": _rates, "kills": _kills, "shared": _shared}[part](folder, log)
            figures |= values
            bars |= limits
    return {"figures": figures, "bars": bars}


def _jobs(folder: Path, count: int, steps: int) -> Path:
    path = folder / f"jobs_{count}_{steps}.json"
    path.write_text(json.dumps({"format": 2, "settings": {"steps": steps, "size": [256, 256]}, "jobs": [
        {"name": f"p{number:03d}", "prompt": "red brick wall", "seed": number} for number in range(count)]}), "utf-8")
    return path


def _start(folder: Path, jobs: Path, output: str, *options: str, threads: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "blender_sd", "batch", str(jobs), "--output", str(folder / output), "--threads",
               str(threads), "--engine-python", sys.executable, "--json", "--quiet", "--resume", *options]
    return subprocess.Popen(command, cwd=common.ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env={**os.environ, "SD_BASE": str(folder / "base")}, start_new_session=True)


# ---- throughput ------------------------------------------------------------------------------------------------------

def _rates(folder: Path, log: Callable[[str], None]) -> tuple[dict, dict]:
    """Measure one worker and two, one of two threads, and what a task's start costs: from how many pictures in a task
    on starting and loading take less than a tenth of its time."""
    turns = [[_throughput(folder / str(turn), workers, 1, log) for workers in (1, 2)] for turn in range(TURNS)]
    threads = _throughput(folder / "threads", 1, 2, log)
    # the turns that other processes disturbed least
    one, two = (max(measured, key=lambda values: values["rate"]) for measured in zip(*turns))
    picture = 60 / one["rate"]
    start = one["start"] - picture
    figures = {"one_worker_per_minute": one["rate"], "two_workers_per_minute": two["rate"],
               "one_worker_two_threads_per_minute": threads["rate"], "frames_per_hour": 60 * two["rate"],
               "start_s": start, "picture_s": picture,
               "chunk_below_tenth": -(-9 * start // picture)}
    return figures, {"two_to_one": common.bar(round(two["rate"] / one["rate"], 2), ">= 1.8")}


def _throughput(folder: Path, workers: int, threads: int, log: Callable[[str], None]) -> dict[str, float]:
    """Return pictures per minute between the first ones and the last, and the seconds until the first. Log what other
    processes took of the machine meanwhile, since the bar is for idle cores."""
    import psutil

    folder.mkdir(exist_ok=True)
    began, busy, others = time.monotonic(), _busy(), 0.0
    process = _start(folder, _jobs(folder, PICTURES, 20), f"rate{workers}", "--workers", str(workers), threads=threads)
    whole, times = psutil.Process(process.pid), []
    for line in process.stdout:
        if '"made"' in line and '"path"' in line:
            times.append(time.monotonic())
            with contextlib.suppress(psutil.NoSuchProcess):  # the engines end after the last picture
                own = sum(sum(part.cpu_times()[:2]) for part in (whole, *whole.children(recursive=True)))
                others = max(0.0, (_busy() - busy - own) / (times[-1] - began))
    process.wait()
    if len(times) != PICTURES:
        raise RuntimeError(f"{len(times)} of {PICTURES} pictures were made")
    warm = 2 * workers  # each engine has its model and its pace by then
    rate = 60 * (PICTURES - warm) / (times[-1] - times[warm - 1])
    log(f"{workers} workers of {threads} threads: {rate:.1f} pictures per minute, the first after "
        f"{times[0] - began:.1f} s; other processes took {others:.2f} cores meanwhile")
    return {"rate": rate, "start": times[0] - began}


def _busy() -> float:
    """Return the seconds that all cores together have worked since the machine started."""
    import psutil

    spent = psutil.cpu_times()
    return sum(spent) - spent.idle - getattr(spent, "iowait", 0.0) - getattr(spent, "guest", 0.0)


# ---- kills -----------------------------------------------------------------------------------------------------------

def _kills(folder: Path, log: Callable[[str], None]) -> tuple[dict, dict]:
    """Count what is missing, doubled or different after all kills, against an undisturbed run."""
    jobs = _jobs(folder, KILLED, 20)
    began = time.monotonic()
    process = _start(folder, jobs, "calm")
    times = [time.monotonic() - began for line in process.stdout if '"made"' in line and '"path"' in line]
    if process.wait():
        raise RuntimeError("the undisturbed run failed")
    log(f"undisturbed: the first picture after {times[0]:.1f} s, the last after {times[-1]:.1f} s")
    picture = (times[-1] - times[0]) / (KILLED - 1)
    dice, kills = random.Random(7), 0
    out = folder / "stormy"
    while kills < KILLS:
        process = _start(folder, jobs, "stormy")
        if made := dice.choice((0, 1, 1, 2)):  # in any of its states: while it starts, or during one of its pictures
            _wait_for(process, made)
            time.sleep(dice.uniform(0.0, picture))
        else:
            time.sleep(dice.uniform(0.0, times[0]))
        if process.poll() is None:
            if dice.random() < 0.5:
                process.send_signal(signal.SIGKILL)  # its engine has to end by itself
            else:
                _kill_tree(process)
            kills += 1
            log(f"kill {kills} of {KILLS}: {len(list(out.glob('*.png')))} of {KILLED} pictures")
        process.communicate()
        if len(there := sorted(out.glob("*.png"))) >= KILLED:  # take some away, as a lost disk does
            for path in dice.sample(there, KILLED // 2):
                path.unlink()
        if time.monotonic() - began > _LIMIT:
            raise TimeoutError("the kills took too long")
    process = _start(folder, jobs, "stormy")
    process.communicate()
    if process.returncode:
        raise RuntimeError(f"the last run ended with {process.returncode}")
    calm, stormy = ({path.name: _pixels(path) for path in (folder / name).glob("*.png")} for name in ("calm", "stormy"))
    different = sum(stormy[name] != calm[name] for name in stormy.keys() & calm.keys())
    return {"kills": kills}, {"missing": common.bar(len(calm.keys() - stormy.keys()), "== 0"),
                              "doubled": common.bar(len(stormy.keys() - calm.keys()), "== 0"),
                              "different": common.bar(different, "== 0")}


def _wait_for(process: subprocess.Popen, made: int) -> None:
    """Wait until a worker has made that many pictures, or has ended."""
    for line in process.stdout:
        made -= '"made"' in line and '"path"' in line
        if made == 0:
            return


def _kill_tree(process: subprocess.Popen) -> None:
    import psutil

    whole = psutil.Process(process.pid)
    for part in (*whole.children(recursive=True), whole):
        try:
            part.kill()
        except psutil.NoSuchProcess:
            continue


def _pixels(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as image:
        return image.tobytes()


# ---- one folder for several ------------------------------------------------------------------------------------------

def _shared(folder: Path, log: Callable[[str], None]) -> tuple[dict, dict]:
    """Count the pictures of several processes in one folder that were lost to one another's names, whether the job
    names them or the engine does."""
    processes = []
    for number in range(SHARED):
        named = [{"prompt": "red brick wall", "seed": 100 * number + index, "name": f"w{number}_{index}"}
                 for index in range(EACH)]
        path = folder / f"shared_{number}.json"
        path.write_text(json.dumps({"format": 2, "settings": {"steps": 8, "size": [256, 256]}, "jobs": named}), "utf-8")
        processes.append(_start(folder, path, "shared"))
    statuses = [process.communicate() and process.returncode for process in processes]
    made = sum((folder / "shared" / f"w{number}_{index}.png").is_file()
               for number in range(SHARED) for index in range(EACH))
    others = len(list((folder / "shared").glob("*.png"))) - made
    log(f"{SHARED} processes, one folder: {made} pictures, {others} others, exit codes {statuses}")
    clashes = SHARED * EACH - made + others + sum(map(bool, statuses))
    return {"shared_pictures": made}, {"clashes": common.bar(clashes, "== 0")}
