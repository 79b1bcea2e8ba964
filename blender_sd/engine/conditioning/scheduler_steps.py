"""Take part in each step of a scheduler: not all pipelines report them."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(scheduler: Any, step: Callable[..., Any]) -> Iterator[None]:
    """Return a context in which `step` stands in the place of `scheduler.step`."""
    original, own = scheduler.step, vars(scheduler).get("step")
    shown = functools.wraps(original)(step)
    shown.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]  # pipelines look for "generator"
    scheduler.step = shown
    try:
        yield
    finally:
        if own is None:
            del scheduler.step
        else:
            scheduler.step = own


@contextmanager
def at_steps(scheduler: Any, call: Callable[[], None]) -> Iterator[None]:
    """Return a context in which `call` is called before each step of a scheduler, once its networks have answered."""
    original = scheduler.step

    def counted(*args: Any, **options: Any) -> Any:
        call()
        return original(*args, **options)

    with replaced(scheduler, counted):
        yield
