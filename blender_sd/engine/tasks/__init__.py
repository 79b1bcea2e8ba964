"""The tasks, one module each: what a task needs from the source, and how its picture is finished.

To add a task, declare it in `core.tasks` and write a module of its name with `prepare(request, inputs, multiple) ->
Plan`. `inputs` holds the input pictures by role; `multiple` is the number of pixels that both sides of a painted
picture must be multiples of.
"""
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..denoise.plan import Plan


def preparation(task: str) -> Callable[..., Plan]:
    """Return the function that plans the pictures of a task, by the name of one of `core.tasks.TASKS`."""
    return import_module(f".{task}", __package__).prepare
