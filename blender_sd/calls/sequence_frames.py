"""Which frames of an animation are asked for: the scene's, those of a folder or a pattern, or a movie's."""
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import InvalidRequest, SourceUnusable
from ..core.frame_ranges import frames_of
from ..core.tasks import RestyleSequence
from ..library import frame_files, shot_folders
from ..library.encoded import HEADER_BYTES, read_header
from ..protocol.shots import Shot, ShotInfo
from .runtime import runtime
from .source_pictures import check_source_size
from .submission import Order, open_source

SCENE = "SCENE"


@dataclass(frozen=True)
class Asked:
    """What a call asked for, checked: nothing was made yet.

    Attributes:
        source: SCENE, a movie, or a pattern with ####.
        frames: All frames of the shot.
        size: Their (width, height).
        of_scene: Whether they show the open scene.
        views: How the files of each frame's views end (`protocol.shot_names`); () where a frame is one picture.
    """

    source: str
    frames: tuple[int, ...]
    size: tuple[int, int]
    of_scene: bool
    views: tuple[str, ...] = ()


def asked_for(source: Any, frames: Any, of_scene: bool, order: Order) -> Asked:
    """Return what is asked for. Raises SDError for frames that are not there."""
    scene = runtime.scene.sequences
    numbers = () if frames is None else frames_of(frames)
    if source == SCENE:
        numbers = numbers or scene.range_of_scene()
        if not numbers:
            raise InvalidRequest("The scene has no frames: its range ends before it begins.", "Change its range.")
        return Asked(SCENE, numbers, scene.size_of_scene(numbers[0]), True, scene.views_of_scene())
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidRequest("The source of an animation is \"SCENE\", a folder, a pattern or a movie.")
    path = runtime.scene.local_path(source)
    if os.path.isfile(path) and frame_files.is_movie(path):
        size, count, _ = scene.facts_of_movie(path)
        numbers = numbers or tuple(range(1, count + 1))
        there: tuple[int, ...] = tuple(range(1, count + 1))
    else:
        path, there = _files(path)
        numbers = numbers or tuple(range(there[0], there[-1] + 1))
        size = _size_of(path, numbers, there)
    task = order.request.task
    assert isinstance(task, RestyleSequence)
    if (missing := frame_files.gaps_in(there, numbers)) and not task.skip_broken:
        raise SourceUnusable(f"Frames are missing: {missing}.", "Choose others; Skip Broken Frames leaves them out.")
    check_source_size(size)
    if of_scene:
        scene.size_of_scene(numbers[0])
    return Asked(path, numbers, size, of_scene)


def _files(path: str) -> tuple[str, tuple[int, ...]]:
    """Return the pattern of a folder, or of files that are named by one, and the numbers that are there."""
    if os.path.isdir(path):
        return frame_files.numbered_in(path)
    folder, name = os.path.split(path)
    if "#" not in name or not os.path.isdir(folder):
        raise SourceUnusable(f"There is no folder, movie or pattern '{path}'.",
                             "Give a folder, a movie, or a pattern such as shot_####.png.")
    there = frame_files.numbers_of(path)
    if not there:
        raise SourceUnusable(f"No file is named by '{path}'.", "Check the pattern.")
    return path, there


def _size_of(pattern: str, numbers: tuple[int, ...], there: tuple[int, ...]) -> tuple[int, int]:
    """Return (width, height) of the first frame that is there."""
    known = set(there)
    first = next((number for number in numbers if number in known), None)
    if first is None:
        raise SourceUnusable(f"None of the frames is there: {pattern}.", "Choose other frames.")
    path = frame_files.with_frame(pattern, first)
    try:
        with open(path, "rb") as file:
            header = read_header(file.read(HEADER_BYTES))
    except OSError as error:
        raise SourceUnusable(f"The file of frame {first} cannot be read: {path}.", "Choose another one.",
                             repr(error)) from None
    return (header.width, header.height) if header is not None else open_source(path)[1]


def among(wanted: Iterable[int], frames: tuple[int, ...]) -> tuple[int, ...]:
    """Return the wanted frames. Raises InvalidRequest for one that the animation does not have."""
    listed, known = tuple(wanted), set(frames)
    for number in listed:
        if number not in known:
            raise InvalidRequest(f"The animation has no frame {number}.", f"It has {frames[0]} to {frames[-1]}.")
    return tuple(sorted(listed))


def recorded_in(folder: str) -> ShotInfo | None:
    """Return what holds for the shot that was recorded for the frames in a folder; None if it was not, or not all."""
    try:
        return Shot(shot_folders.shot_in(folder)).info if shot_folders.is_recorded(folder) else None
    except SourceUnusable:
        return None


def of_recording(asked: Asked, recorded: ShotInfo, chosen: bool) -> Asked:
    """Return what is asked for where the frames are recorded already. Raises InvalidRequest for frames that are not
    among them."""
    asked = replace(asked, size=(recorded.width, recorded.height), views=recorded.views)
    if not chosen:
        return replace(asked, frames=recorded.frames)
    if missing := frame_files.gaps_in(recorded.frames, asked.frames):
        raise InvalidRequest(f"These frames were not recorded: {missing}.", "Choose others, or record again.")
    return asked
