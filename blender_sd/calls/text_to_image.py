"""Text to picture.

    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]                                  # waits, and pumps meanwhile
    sd.apply(image, bpy.context.object)
"""
from __future__ import annotations

from typing import Any

from ..core.request_builder import checked_size
from ..core.tasks import TEXT_TO_IMAGE
from ..session.job import Job
from .arguments import task_call
from .submission import prepare, submit, with_regions


@task_call(TEXT_TO_IMAGE)
def generate(prompt: str, *, size: tuple[int, int] | None = None, **settings: Any) -> Job:
    """Paint a picture from words. Return its job at once.

    None means: what the style sets, or else what suits the model; for `seed`, a random one. Prompts may hold weights
    (word:1.3), choices {a|b}, lists __name__, LoRA tags <lora:name:0.8> and more: see `core.prompt_syntax`.

    Args:
        prompt: What the picture should show.
        size: Width and height in pixels, rounded to what the model can paint; `Job.notes` says so.
        {settings}

    Raises:
        SDError: The settings cannot be met. Nothing was started.
    """
    if size is not None:
        width, height = checked_size(size)
        settings |= {"width": width, "height": height}
    return submit(with_regions(prepare(TEXT_TO_IMAGE, prompt, settings)), {})
