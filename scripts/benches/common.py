"""What the benches share: the add-on's API on a private output folder, bars, and medians."""
from __future__ import annotations

import contextlib
import operator
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
_COMPARE = {"<": operator.lt, "<=": operator.le, ">=": operator.ge, "==": operator.eq}


def bar(value: float, rule: str) -> dict:
    """One bar: the measured `value` held against `rule`, such as "<= 1.05"."""
    sign, limit = rule.split()
    return {"value": value, "bar": rule, "holds": _COMPARE[sign](value, float(limit))}


@contextlib.contextmanager
def addon(**settings: object) -> Iterator[ModuleType]:
    """The add-on's API in this process's Blender (bpy), writing into a temporary folder; stopped at the end."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from blender_sd import api

    with tempfile.TemporaryDirectory(prefix="sd-bench-") as folder:
        api.configure(engine_python=sys.executable, output=folder, **settings)
        try:
            yield api
        finally:
            api.shutdown()


def tiny_model(folder: Path) -> str:
    """A seeded random model of a few hundred thousand weights, for benches of everything but the painting."""
    if str(ROOT / "tests" / "engine") not in sys.path:
        sys.path.insert(0, str(ROOT / "tests" / "engine"))
    from tiny_models import build_tiny_sd

    return str(build_tiny_sd(folder))


def wait_until(api: ModuleType, done: Callable[[], bool], timeout: float = 300.0) -> None:
    """Pumps until `done()`; raises TimeoutError."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the bench waited too long")
        api.wait(0.05)
        api.pump()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
