"""The Blender without a window that records shots, makes movies and renders outlines. It holds a saved copy of the
person's file: what they do meanwhile changes nothing, and their window is never blocked.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

import bpy

from ..core.errors import SourceUnusable
from ..core.regions import from_fields
from ..library import shot_folders
from ..library.frame_files import timing_of
from ..protocol import endings, serving
from ..protocol.messages import Encode, Event, Installed, Note, Outline, Ready, Record, Stage
from ..protocol.shot_names import file_name
from . import geometry, linear_frames, movies, shot_settings
from .shot_pictures import opened_pictures
from .shot_recorder import Recording, record


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the session; see `protocol.serving.serve`."""
    # Blender prints several lines for each frame; what matters goes to the log
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return serving.serve(reader, writer, lambda config: Recorder())


class Recorder:
    """Run `Record`, `Encode` and `Outline` requests. It implements `protocol.pipeline.Pipeline`."""

    def warm(self) -> Ready:
        return Ready("", "", {"blender": bpy.app.version_string})

    def run(self, request: Record | Encode | Outline, emit: Callable[[Event], None],
            cancelled: Callable[[], bool]) -> None:
        if isinstance(request, Outline):
            work = partial(_outlined, request)
        else:
            work = partial(_encoded if isinstance(request, Encode) else _recorded, request, emit, cancelled)
        endings.finish(request.job, work, emit)

    def close(self) -> None:
        """Do nothing: the process ends with its session."""


def opened_scene(blend: str, name: str, scripts: bool) -> bpy.types.Scene:
    """Open a .blend file and return its scene of that name, "" for the one it was saved with; without a file, a new
    scene.

    Raises SourceUnusable if the file cannot be opened, or has no such scene.
    """
    if not blend:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        return bpy.context.scene
    try:
        bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=scripts)
    except RuntimeError as error:
        raise SourceUnusable(f"The saved copy of the scene cannot be opened: {blend}", "Start again.",
                             str(error)) from None
    scene = bpy.data.scenes.get(name) if name else bpy.context.scene
    if scene is None:
        raise SourceUnusable(f"The saved copy has no scene called '{name:.60}'.", "Start again.")
    if bpy.context.window is not None:
        bpy.context.window.scene = scene
    return scene


# ---- inside --------------------------------------------------------------------------------------------------------


def _recorded(request: Record, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> Event:
    def note(text: str) -> None:
        emit(Note(request.job, text))

    scripts = bool(request.trusted) and shot_folders.digest_of(request.blend) == request.trusted
    if request.trusted and not scripts:  # others may write where it lies
        note("Scripts in the copy of the scene do not run: somebody has changed the copy.")
    scene = opened_scene(request.blend, request.scene, scripts)
    record_request(scene, request, lambda text, done, total: emit(Stage(request.job, text, done, total)), note,
                   cancelled)
    return Installed(request.job, request.folder)


def record_request(scene: bpy.types.Scene, request: Record, tell: Callable[[str, int, int], None],
                   note: Callable[[str], None], cancelled: Callable[[], bool]) -> None:
    """Record what a request asks for of `scene`, in this process. Raises as `shot_recorder.record` does.

    Without a name of a scene in the request, its pictures are no pictures of one.
    """
    varying = shot_settings.varying_of(request.varying)
    prompts = tuple((int(frame), str(text)) for frame, text in json.loads(request.prompts))
    with ExitStack() as stack:
        paths = stack.enter_context(shot_settings.readable(scene, varying))
        pictures, fps = None, None
        if request.source:
            pictures, fps = stack.enter_context(opened_pictures(request.source, request.skip_broken, note))
        if fps is None and request.fps:
            fps = request.fps[0], request.fps[1]
        what = Recording(folder=request.folder, frames=request.frames, link=request.link, bits=request.bits,
                         varying=paths, prompts=prompts, pictures=pictures, of_scene=bool(request.scene), fps=fps,
                         skip_sizes=request.skip_broken, controls=_controls_in(request),
                         regions=tuple((int(place), from_fields(fields)[0])
                                       for place, fields in json.loads(request.regions)))
        record(scene, what, tell, note, cancelled)


def _outlined(request: Outline) -> Event:
    geometry.write_passes(opened_scene(request.blend, request.scene, request.scripts), request.path)
    return Installed(request.job, request.path)


def _controls_in(request: Record) -> tuple[tuple[int, str], ...]:
    pairs = (text.partition("=") for text in request.controls)
    return tuple((int(place), kind) for place, _, kind in pairs)


def _encoded(request: Encode, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> Event:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    pictures = [os.path.join(request.folder, f"{file_name(frame)}{request.view}.png") for frame in request.frames]
    if request.linear:
        total = len(pictures)
        linear_frames.write_linear(pictures, request.linear, lambda done: emit(
            Stage(request.job, "Writing OpenEXR", done, total)), cancelled)
    if request.movie:
        held, fps = timing_of(request.frames, (request.fps[0], request.fps[1]), not request.sound)
        shown = [path for path, count in zip(pictures, held, strict=True) for _ in range(count)]
        heard = movies.encode(shown, request.movie, fps, request.sound, request.frames[0] - 1, request.fresh)
        if request.sound and not heard:
            emit(Note(request.job, "The movie has no sound: its source has none, or this Blender is built without it."))
    return Installed(request.job, request.movie or request.linear)
