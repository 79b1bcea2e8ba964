"""Variations of a picture, from small ones to larger ones."""
from __future__ import annotations

from typing import Any

from ..core.tasks import SEED_WALK, SeedWalk
from ..session.job import Job
from .arguments import task_call
from .submission import open_source, prepare, submit


@task_call(SEED_WALK)
def seed_walk(source: Any, prompt: str | None = None, *, count: int = SeedWalk.defaults["count"],
              **settings: Any) -> Job:
    """Paint variations of a picture. Return their job at once.

    All begin from the picture and one seed. The noise of each next one leans further towards the variation seed's, so
    that the pictures change little by little: pick the one that went far enough.

    Args:
        source: As for `restyle`.
        prompt: None is as for `upscale`.
        count: How many pictures.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used.
    """
    order = prepare(SEED_WALK, prompt, {**settings, "count": count}, source)
    data, size = open_source(source)
    return submit(order, {"source": data}, size=size, covers=size, given=source)
