"""How many inputs the readers of strangers' files and messages take without a defect (tests/support/fuzz_targets.py),
led by coverage (atheris).

A defect is an exception that the reader does not document, more than a second of the processor or a gigabyte of memory
for one input, or words that cannot be shown. Its input is printed in base64: it becomes a test in
tests/test_fuzz_found.py.
"""
from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import envs

from . import common

DESCRIPTION = "fuzzing of messages and file readers: inputs tried, defects"
SECONDS = 30  # for each target, two side by side
_RUN = Path(__file__).resolve().parent / "fuzz_run.py"
_MEMORY = Path("/dev/shm")  # where there is that: thousands of small files are written a second


def run(log: Callable[[str], None], seconds: int = SECONDS) -> dict:
    python = envs.ensure(envs.Env(".venv-fuzz", "3.11", ("fuzz.txt",), "", "50 MB"), log)
    sys.path.insert(0, str(common.ROOT))
    from tests.support.fuzz_targets import TARGETS

    with (
        tempfile.TemporaryDirectory(
            prefix="sd-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None, ignore_cleanup_errors=True
        ) as place,
        ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool,
    ):
        reports = list(pool.map(lambda name: _target(str(python), name, seconds, Path(place), log), TARGETS))
    figures: dict[str, float] = {
        "inputs": sum(one["inputs"] for one in reports),
        "defects": sum(one["defects"] for one in reports),
    }
    for name, report in zip(TARGETS, reports, strict=True):
        figures |= {f"{name}_{key}": report[key] for key in ("inputs", "features")}
    return {"figures": figures, "bars": {
        "defects": common.bar(figures["defects"], "== 0"),
        "inputs": common.bar(figures["inputs"], ">= 1000000"),
        "targets that ran": common.bar(sum(one["inputs"] > 0 for one in reports), f"== {len(TARGETS)}"),
    }}


def _target(python: str, name: str, seconds: int, place: Path, log: Callable[[str], None]) -> dict[str, int]:
    folder = place / name
    folder.mkdir()
    done = subprocess.run(
        [python, str(_RUN), name, str(seconds), str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(folder)},
        timeout=seconds * 2 + 400,
    )
    defects = _defects(folder, done.stderr)
    for what, data in defects:
        log(f"DEFECT {name}: {what}\n  {data}")
    inputs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    features = re.findall(r" cov: \d+ ft: (\d+)", done.stderr)
    count = int(inputs[1]) + int((folder / "stretched").read_text()) if inputs else 0
    report = {"inputs": count, "features": int(features[-1]) if features else 0, "defects": len(defects)}
    log(f"{name}: {report['inputs']} inputs, {report['features']} features, {report['defects']} defects")
    if not inputs:
        log(done.stderr[-2000:])
    return report


def _defects(folder: Path, output: str) -> list[tuple[str, str]]:
    """Return (what happened, the input in base64) for each defect: those that the target recorded, and the cause if
    libFuzzer ended it.
    """
    written = folder / "defects.jsonl"
    lines = map(json.loads, written.read_text(encoding="utf-8").splitlines()) if written.exists() else ()
    found = [(one["what"], one["input"]) for one in lines]
    for file in folder.iterdir():
        if re.match(r"(crash|timeout|oom|leak|slow-unit)-", file.name):
            reason = re.search(r"ERROR: (libFuzzer: [^\n]*)", output)
            found.append(
                (
                    f"{file.name.split('-')[0]} {reason[1] if reason else ''}",
                    base64.b64encode(file.read_bytes()).decode(),
                )
            )
    return found
