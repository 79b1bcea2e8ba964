"""Measure what the command line costs: its help, and a run from its start to the first step beside the same in Python.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "seconds of the command line: --help, and from the start to the first step against the same in Python"
REPEATS = 5
_SETTINGS = {"seed": 1, "steps": 4, "size": (128, 128)}
# Prints when the first step of a picture was reported; both ways run it in a new process.
_WATCH = """
import sys, time
sys.path.insert(0, {root!r})
from blender_sd.session.job import Job
real = Job._stepped
def stepped(self, event, at):
    real(self, event, at)
    if event.step >= 1 and not hasattr(Job, "seen"):
        Job.seen = True
        print("first step", time.time(), time.process_time(), flush=True)
from blender_sd.protocol.messages import Step
Job._CHANGES[Step] = stepped
"""
_PYTHON = """
import blender_sd as sd
sd.configure(engine_python=sys.executable, output={output!r}, threads=1)
sd.generate("red brick wall", **{settings!r}).result()
sd.shutdown()
"""
_COMMAND = """
from blender_sd.cli.main import main
main(["generate", "red brick wall", "--seed", "1", "--steps", "4", "--size", "128", "--threads", "1", "--quiet",
      "--engine-python", sys.executable, "--output", {output!r}])
"""


def run(log: Callable[[str], None]) -> dict:
    helps = [_help() for _ in range(REPEATS)]
    log(f"--help: {min(helps):.2f} s")
    times: dict[str, list[float]] = {"python": [], "command": []}
    work: dict[str, list[float]] = {"python": [], "command": []}
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        for turn in range(REPEATS + 1):
            for name, code in (("python", _PYTHON), ("command", _COMMAND)):
                spent, own = _first_step(code, folder)
                if turn:  # the first of each fills the disk's cache
                    times[name].append(spent)
                    work[name].append(own)
                log(f"{name}: {spent:.2f} s, {own:.2f} s of the processor without the engine's")
    python, command = (min(times[name]) for name in ("python", "command"))  # the least that others disturbed
    figures = {"help_s": min(helps), "python_s": python, "command_s": command,
               **{f"{name}_processor_s": common.median(work[name]) for name in work}}
    return {"figures": figures, "bars": {"help_s": common.bar(round(min(helps), 3), "<= 0.3"),
                                         "command_to_python": common.bar(round(command / python, 3), "<= 1.15")}}


def _help() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "blender_sd", "--help"], cwd=common.ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _first_step(code: str, folder: str) -> tuple[float, float]:
    """Return the seconds from the start of a process to its first step, and those of the processor in it."""
    text = _WATCH.format(root=str(common.ROOT)) + code.format(output=str(Path(folder) / "out"), settings=_SETTINGS)
    variables = {**os.environ, "SD_BASE": str(Path(folder) / "base"), "SD_ENGINE_NICE": "0"}
    start = time.time()
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=variables, check=True)
    line = next((line for line in done.stdout.splitlines() if line.startswith("first step")), None)
    if line is None:
        raise RuntimeError(json.dumps([done.stdout[-2000:], done.stderr[-2000:]]))
    seen, own = map(float, line.split()[2:])
    return seen - start, own
