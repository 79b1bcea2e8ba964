"""Share code between benches: the add-on's API with a private output folder, bars, and medians."""
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
    """Return a bar: the measured `value` compared with `rule`, such as "<= 1.05"."""
    sign, limit = rule.split()
    return {"value": value, "bar": rule, "holds": _COMPARE[sign](value, float(limit))}


@contextlib.contextmanager
def addon(**settings: object) -> Iterator[ModuleType]:
    """Provide the add-on's API in this process's Blender (bpy), with a temporary output folder; stop it at the end."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    import blender_sd as sd

    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        sd.configure(engine_python=sys.executable, output=folder, **settings)
        try:
            yield sd
        finally:
            sd.shutdown()


def tiny_model(folder: Path) -> str:
    """Make a seeded random model of a few hundred thousand weights, for benches of everything but the painting."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from tests.support.tiny_models import build_tiny_sd

    return str(build_tiny_sd(folder))


def wait_until(api: ModuleType, done: Callable[[], bool], timeout: float = 300.0) -> None:
    """Pump until `done()`. Raise TimeoutError."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the bench waited too long")
        api.wait(0.05)
        api.pump()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
