"""Numbered files of frames in a folder, and patterns with #### for a frame's number."""
from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

from ..core.errors import SourceUnusable

PICTURES = (".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".tga", ".bmp", ".webp", ".hdr", ".dpx")
MOVIES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".ogv", ".mxf")
_NUMBER = re.compile(r"(-?\d+)(?=\D*$)")
_SHOWN = 5  # gaps that a message names


def with_frame(pattern: str, frame: int) -> str:
    """Return a file name with the last run of # replaced by the frame's number, as Blender does."""
    runs = list(re.finditer(r"#+", pattern))
    if not runs:
        return pattern
    run = runs[-1]
    digits = f"{abs(frame):0{len(run[0])}d}"
    return f"{pattern[:run.start()]}{'-' if frame < 0 else ''}{digits}{pattern[run.end():]}"


def is_movie(path: str) -> bool:
    """Return whether a path is that of a movie, by its ending."""
    return path.lower().endswith(MOVIES)


def numbered_in(folder: str) -> tuple[str, tuple[int, ...]]:
    """Return the pattern of the numbered pictures in a folder, and their numbers, rising.

    Where there are several sequences, the longest counts. Raises SourceUnusable if there is none.
    """
    known: dict[str, list[int]] = defaultdict(list)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, ending = os.path.splitext(entry.name)
                match = _NUMBER.search(stem)
                if match and ending.lower() in PICTURES and not entry.name.startswith(".") and entry.is_file():
                    digits = match[1].lstrip("-")
                    pattern = f"{stem[:match.start()]}{'#' * len(digits)}{stem[match.end():]}{ending}"
                    known[pattern].append(int(match[1]))
    except OSError as error:
        raise SourceUnusable(f"The folder cannot be read: {folder}", "Choose another folder.", repr(error)) from None
    _join_unpadded(known)
    if not known:
        raise SourceUnusable(f"There are no numbered pictures in {folder}.",
                             "Choose a folder with files such as 0001.png, 0002.png, …")
    pattern = max(known, key=lambda name: len(known[name]))
    return os.path.join(folder, pattern), tuple(sorted(set(known[pattern])))


def numbers_of(pattern: str) -> tuple[int, ...]:
    """Return the numbers of the files that a pattern names, rising; () where the folder cannot be read, or the name has
    no #."""
    folder, name = os.path.split(pattern)
    runs = list(re.finditer(r"#+", name))
    if not runs:
        return ()
    run = runs[-1]
    form = re.compile(f"{re.escape(name[:run.start()])}(-?\\d{{{len(run[0])},}}){re.escape(name[run.end():])}")
    try:
        matches = [form.fullmatch(entry) for entry in os.listdir(folder)]
    except OSError:
        return ()
    return tuple(sorted(int(match[1]) for match in matches if match))


def gaps_in(numbers: Sequence[int], wanted: Iterable[int]) -> str:
    """Return which of the `wanted` frames are not among `numbers`, for a message: "7, 9-12"; "" for none."""
    there = set(numbers)
    missing = [number for number in wanted if number not in there]
    runs: list[list[int]] = []
    for number in missing:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{first}-{last}" if last > first else f"{first}" for first, last in runs]
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def timing_of(frames: Sequence[int], fps: tuple[int, int], divide: bool) -> tuple[list[int], tuple[int, int]]:
    """Return how long a movie shows each of some frames so that it lasts as long as the animation does.

    Args:
        frames: Their numbers, rising.
        fps: The animation's rate, frames in a number of seconds.
        divide: Whether the movie may have a lower rate. (One with sound keeps the rate.)

    Returns:
        For each frame how many of the movie's frames show it, and the movie's rate, which is 1 or more.
    """
    gaps = [after - before for before, after in zip(frames, frames[1:])]
    common = math.gcd(*gaps) or 1  # 0 for a single frame
    most = max(1, fps[0] // fps[1]) if divide else 1
    step = max(part for part in range(1, min(common, most) + 1) if common % part == 0)
    rate = Fraction(fps[0], fps[1] * step)
    return [gap // step for gap in (*gaps, min(gaps, default=1))], (rate.numerator, rate.denominator)


# ---- inside ----------------------------------------------------------------------------------------------------------


def _join_unpadded(known: dict[str, list[int]]) -> None:
    """Join numbers without leading zeros, such as 9 and 10, which have patterns of different lengths."""
    for pattern in sorted(known, key=len, reverse=True):
        run = re.search(r"#+(?=[^#]*$)", pattern)
        assert run is not None  # each pattern has one
        shorter = f"{pattern[:run.start()]}{'#' * (len(run[0]) - 1)}{pattern[run.end():]}"
        if len(run[0]) > 1 and shorter in known and all(abs(number) >= 10 ** (len(run[0]) - 1)
                                                        for number in known[pattern]):
            known[shorter] += known.pop(pattern)
