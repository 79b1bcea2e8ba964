"""Number the pictures of a shot, and name the files of those that are made of them.

A scene that renders several views, such as the two eyes of a stereoscopic one, has a picture for each view of each of
its frames. In the shot they count as frames in a row, with numbers of their own: both eyes of frame 1, both of frame 2,
and so on. Points are found again in the other eye as in another frame. With one view, a picture's number is that of its
frame.

`views` stands for how the views' files end, in order, as Blender calls them: ("_L", "_R"); () for a plain shot.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

_BEGIN = re.compile(r"(-?\d+)(.*)", re.DOTALL)


def file_name(number: int) -> str:
    """Return a number as it stands in the names of files."""
    return f"{number:06d}"


def number_of(frame: int, views: Sequence[str], view: int = 0) -> int:
    """Return the number of the picture of a frame's view, by its place in `views`."""
    return frame * max(1, len(views)) + view


def numbers_of(frames: Iterable[int], views: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of all pictures of frames, rising if these do."""
    return tuple(number_of(frame, views, view) for frame in frames for view in range(max(1, len(views))))


def frame_of(number: int, views: Sequence[str]) -> int:
    """Return the frame that a picture is of."""
    return number // max(1, len(views))


def place_of(number: int, views: Sequence[str]) -> int:
    """Return the place in `views` of a picture's view; 0 in a plain shot."""
    return number % max(1, len(views))


def name_of(number: int, views: Sequence[str]) -> str:
    """Return what the finished file of a picture is called, without ".png": "000012", "000012_L"."""
    return f"{file_name(frame_of(number, views))}{views[place_of(number, views)] if views else ''}"


def parts_of(name: str) -> tuple[int, str] | None:
    """Return the frame and the view's ending of a name by `name_of`; None if it is none."""
    match = _BEGIN.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def by_view(paths: Iterable[str]) -> dict[str, dict[int, str]]:
    """Return files that are named by `name_of`, by the endings of their views and by frame, in their order."""
    views: dict[str, dict[int, str]] = {}
    for path in paths:
        if (parts := parts_of(os.path.splitext(os.path.basename(path))[0])) is not None:
            views.setdefault(parts[1], {})[parts[0]] = path
    return views


def of_first_view(paths: Iterable[str]) -> dict[int, str]:
    """Return the files of the first view among `paths` by frame; all of them for a plain shot."""
    return next(iter(by_view(paths).values()), {})
