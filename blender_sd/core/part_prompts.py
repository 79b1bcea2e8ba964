"""Hold the prompts of parts of an object in one text, as requests carry it: JSON, [[prompt, [textures]], …]."""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from .errors import InvalidRequest

Parts = list[tuple[str, list[int]]]  # prompts, each with the numbers of the textures that it is about


def read(text: str) -> Parts:
    """Return the prompts in `text`; none for "". Raise InvalidRequest if it holds anything else."""
    try:
        parts = [(prompt, list(textures)) for prompt, textures in json.loads(text or "[]")]
    except (ValueError, TypeError, RecursionError):
        parts = [("", [""])]
    if not all(type(prompt) is str and all(type(number) is int for number in textures) for prompt, textures in parts):
        raise InvalidRequest("The prompts of an object's parts cannot be read.",
                             "Give them as [[prompt, [numbers of textures]], …].")
    return parts


def written(parts: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return the text that `read` reads; "" for no parts."""
    return json.dumps(list(parts), ensure_ascii=False) if parts else ""


def reworded(text: str, change: Callable[[str], str]) -> str:
    """Return `text` with what `change` makes of each prompt."""
    return written([(change(prompt), textures) for prompt, textures in read(text)])
