"""What restyling an animation asks of the open file on the main thread: its frames, its size, and where results go."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import bpy

from ..core.errors import InvalidRequest, SourceUnusable
from ..core.names import suggestion
from ..protocol.messages import Record
from . import frames, movies, saved_copy, sequence_placing, shot_process, shot_recorder, stereo
from .shot_settings import animated_paths, keyframed
from .targets import identity, lookup, push_undo

__all__ = [
    "animated_in_panel", "copy_scene", "facts_of_movie", "fps_of_scene", "keyframed_in_scene", "marked_prompts",
    "name_of_scene", "placing", "range_of_scene", "record_here", "records_here", "runs_scripts", "size_of_scene",
    "views_of_scene"]

_PLACES: dict[str, Callable] = {"sequencer": sequence_placing.in_sequencer,
                                "compositor": sequence_placing.in_compositor}
facts_of_movie = movies.facts_of
runs_scripts = saved_copy.runs_scripts


def range_of_scene() -> tuple[int, ...]:
    """Return the frames of the open scene: its range, with its step."""
    scene = bpy.context.scene
    return tuple(range(scene.frame_start, scene.frame_end + 1, scene.frame_step))


def fps_of_scene() -> tuple[int, int]:
    """Return the open scene's frame rate as frames in a number of seconds."""
    return shot_recorder.fps_of(bpy.context.scene)


def name_of_scene() -> str:
    """Return the name of the open scene."""
    return bpy.context.scene.name


def size_of_scene(frame: int) -> tuple[int, int]:
    """Return (width, height) of a render of the open scene. Raises SourceUnusable where it cannot be recorded."""
    shot_recorder.check_recordable(bpy.context.scene, frame)
    return frames.region_of(bpy.context.scene).size


def views_of_scene() -> tuple[str, ...]:
    """Return how the files of each view of the open scene end; () where it renders one picture of a frame. Raises
    SourceUnusable where they cannot be told apart."""
    return stereo.endings_of(bpy.context.scene)


def marked_prompts(frame_first: int, frame_last: int) -> tuple[tuple[int, str], ...]:
    """Return the prompts that markers of the timeline hold, by frame: markers named "prompt: …"."""
    found = []
    for marker in bpy.context.scene.timeline_markers:
        word, colon, text = marker.name.partition(":")
        if colon and word.strip().lower() == "prompt" and text.strip() and marker.frame <= frame_last:
            found.append((max(marker.frame, frame_first), text.strip()))
    return tuple(sorted(dict(sorted(found)).items()))


def animated_in_panel(names: Sequence[str]) -> tuple[str, ...]:
    """Return which settings of the open scene's panel are keyframed or driven, as texts for `Record.varying`."""
    return animated_paths(bpy.context.scene, names)


def keyframed_in_scene(varying: Sequence[tuple[str, str]], frames: Sequence[int]) -> dict[str, dict[int, float]]:
    """Return the values of settings that are keyframed in the open scene; see `shot_settings.keyframed`."""
    return keyframed(bpy.context.scene, varying, frames)


def records_here() -> bool:
    """Return whether this Blender records by itself: on a farm no window is blocked."""
    return bpy.app.background and bool(bpy.app.binary_path)


def copy_scene(folder: str) -> tuple[str, str, bool, list[str]]:
    """Save a copy of the open file, and return its path, the name of the scene in it, whether scripts may run in it,
    and what the person should know. Raises OutputUnwritable."""
    notes = [f"The image '{name:.60}' was painted on and not saved, so the frames show it as it was."
             for name in saved_copy.unsaved_pictures()[:3]]
    return saved_copy.save_copy(folder), bpy.context.scene.name, saved_copy.runs_scripts(), notes


def record_here(request: Record, tell: Callable[[str, int, int], None], note: Callable[[str], None],
                cancelled: Callable[[], bool]) -> None:
    """Record a shot of the open scene in this Blender, which is blocked meanwhile. The scene is at its frame again
    afterwards. Arguments and errors are those of `shot_recorder.record`."""
    with shot_recorder.at_its_frame(bpy.context.scene):
        shot_process.record_request(bpy.context.scene, request, tell, note, cancelled)


def placing(where: str, name: str) -> Callable[[Sequence[str], Sequence[int]], None]:
    """Return a function that brings finished frames into the scene that is open now, with one undo step.

    Args:
        where: "sequencer" or "compositor".
        name: What the strips, or the image, are called.

    Raises:
        InvalidRequest: There is no such place.
    """
    if where not in _PLACES:
        raise InvalidRequest(f"Frames cannot be placed in '{where:.40}'.", suggestion(where, tuple(_PLACES)))
    owner = identity(bpy.context.scene)

    def place(paths: Sequence[str], numbers: Sequence[int]) -> None:
        scene = lookup(owner)
        if scene is None:
            raise SourceUnusable("The scene that the animation belongs to is gone.",
                                 f"The frames are in {os.path.dirname(paths[0])}.")
        _PLACES[where](scene, paths, numbers, name)
        push_undo(f"Place {name}")

    return place
