"""Frame ranges as Blender and farms write them: "1-10,20-30x2", also with Blender's own ".." for the range."""
from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import InvalidRequest

MAX_FRAMES = 100_000
_LAST = 1_048_574  # of Blender
_PART = re.compile(r"(-?\d+)(?:\s*(?:-|\.\.)\s*(-?\d+)(?:\s*x\s*(\d+))?)?")
_HINT = "Write it as in 1-10,20-30x2: frames 1 to 10, and every second one from 20 to 30."


def frames_in(text: str) -> list[int]:
    """Return the frames of a range in their order, each once.

    Args:
        text: Frames and ranges, separated by commas; "x2" takes every second frame.

    Raises:
        InvalidRequest: It is empty, reversed or no range.
    """
    frames: dict[int, None] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InvalidRequest("The frame range is empty.", _HINT)
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None or len(part) > 40:
            raise InvalidRequest(f"'{part:.40}' is no frame range.", _HINT)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first:
            raise InvalidRequest(f"The frame range {part} runs backwards.", f"Write it as {last}-{first}.")
        if step < 1:
            raise InvalidRequest(f"The frame range {part} has a step of 0.", _HINT)
        if max(abs(first), abs(last)) > _LAST or (last - first) // step >= MAX_FRAMES:
            raise InvalidRequest(f"The frame range {part} has too many frames.",
                                 f"{MAX_FRAMES} frames are the most, and {_LAST} is Blender's last.")
        frames.update(dict.fromkeys(range(first, last + 1, step)))
    if len(frames) > MAX_FRAMES:
        raise InvalidRequest(f"The frame range has {len(frames)} frames.", f"{MAX_FRAMES} are the most.")
    return list(frames)


def frames_of(given: str | Iterable[int]) -> tuple[int, ...]:
    """Return the numbers of frames, rising.

    Args:
        given: A text as for `frames_in`; or the first and the last frame, and the step if it is not 1.

    Raises:
        InvalidRequest: It is empty, reversed or no range.
    """
    if isinstance(given, str):
        return tuple(sorted(frames_in(given)))
    numbers = list(given) if isinstance(given, Iterable) else []
    if len(numbers) not in (2, 3) or not all(type(number) is int for number in numbers):
        raise InvalidRequest("Frames are (first, last) or (first, last, step), in whole numbers.",
                             "Or write them as \"1-48x2\".")
    return tuple(frames_in(f"{numbers[0]}-{numbers[1]}x{numbers[2] if len(numbers) == 3 else 1}"))
