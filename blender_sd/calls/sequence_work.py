"""What goes with the job of an animation, on its background thread: a Blender without a window records its shot first,
and makes a movie of the finished frames.
"""
from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..core.errors import EngineDied, OutputUnwritable
from ..library import files, shot_folders
from ..library.frame_files import is_movie
from ..library.shots import ShotWriter
from ..protocol import png_arrays
from ..protocol.messages import Encode, Event, Finished, Loading, Note, Ready, Record, Source
from ..protocol.shot_names import by_view, number_of
from ..protocol.shots import KEYFRAMES, Course, Shot, ShotOrder
from ..session.process import ProcessPipeline
from ..session.sequences import Emit
from . import second_blender

log = logging.getLogger("blender_sd")

_AGAIN = "Start it again: frames that are finished are kept."
_OWN = 10  # characters of a frame's digest in the name of its copy


@dataclass(frozen=True)
class SavedCopy:
    """The saved copy of a scene whose scripts may run, if it is this computer's own.

    Attributes:
        path: The .blend file.
        state: The file that remembers which copies are our own (`shot_folders.trust`).
        digest: The digest of a copy that was just saved; None for one of an earlier run.
        allowed: Whether scripts may run at all.
    """

    path: str
    state: str
    digest: Future[str] | None
    allowed: bool

    def trusted(self) -> str:
        """Return the digest that the copy must have when it is opened for its scripts to run; "" if they may not."""
        if not self.allowed:
            return ""
        if self.digest is not None:
            digest = self.digest.result()
            shot_folders.trust(self.state, digest)
            return digest
        digest = shot_folders.digest_of(self.path)
        return digest if shot_folders.is_trusted(self.state, digest) else ""


@dataclass
class SequenceWork:
    """It implements `session.sequences.Sequence`.

    Attributes:
        pipeline: Makes the process that records.
        request: What is recorded, without a job's id; None if it was recorded already.
        order: What is asked of the engine.
        movie: The movie to make of the frames, or the name to which the endings of several views are added; "" for
            none.
        linear: The folder for OpenEXR files; "" for none.
        source: The movie whose sound that gets; "" for none.
        more: The OpenEXR files and the movie, once they are made.
        keyframes: Pictures that a person made for frames, seen from the first view; None for those that the shot has.
        record_only: Whether nothing is painted.
        course: What varies from frame to frame, where that is brought up to date; None where it stays as recorded.
        copy: The scene's saved copy that `request` opens; None for none.
        taken_over: The output folder whose recording is used for this one; "" for none.
        history: Returns the output folder for pictures, where the history finds the animation by one of its frames;
            None for none.
    """

    pipeline: Callable[[], ProcessPipeline]
    request: Record | None
    order: ShotOrder
    movie: str = ""
    linear: str = ""
    source: str = ""
    more: list[str] = field(default_factory=list)
    keyframes: dict[int, Source | Callable[[], Source]] | None = None
    record_only: bool = False
    course: Course | None = None
    copy: SavedCopy | None = None
    taken_over: str = ""
    history: Callable[[], Path] | None = None

    def record(self, job: str, emit: Emit, cancelled: Callable[[], bool]) -> ShotOrder | None:
        """Record the shot, or what is missing of it. Raises SDError."""
        output = os.path.dirname(self.order.folder)
        shot_folders.sweep(output)
        if self.taken_over:
            shot_folders.share(self.taken_over, output)
        if self.request is not None:
            self._run(replace(self.request, job=job, trusted=self._trusted(job, emit)), emit, cancelled)
            self.request = None
        try:
            if self.course is not None:
                ShotWriter(self.order.folder).course(self.course)
            self._write_keyframes()
        except OSError as error:
            raise OutputUnwritable(f"The shot in {self.order.folder} cannot be written.", _AGAIN,
                                   repr(error)) from None
        return None if self.record_only else self._present()

    def finish(self, made: Finished, emit: Emit, cancelled: Callable[[], bool]) -> Finished:
        """Make the movie and the OpenEXR files that are wanted, and let the history know. Raises SDError."""
        if self.history is not None and made.results and not self.order.keys_only:
            try:
                self._remember(made.results[len(made.results) // 2].path, self.history())
            except (OutputUnwritable, OSError) as error:  # the frames themselves are where they were asked for
                log.warning("a frame is not in the history: %r", error)
                emit(Note(made.job, "The history does not show this animation: its folder cannot be written to."))
        if (self.movie or self.linear) and made.results:
            if self.movie:
                emit(Loading(made.job, "Making the movie"))
                files.sweep(os.path.dirname(self.movie))  # what a killed process was writing
            paths = [result.path for result in made.results]
            for view, frames in by_view(paths).items():
                self._encode(made, view, tuple(frames), emit, cancelled)
            if self.linear:
                emit(Note(made.job, "The OpenEXR files are scene-linear (linear Rec. 709)."))
                names = [os.path.splitext(os.path.basename(path))[0] for path in paths]
                self.more = [*(os.path.join(self.linear, f"{name}.exr") for name in names), *self.more]
        return made

    def _encode(self, made: Finished, view: str, frames: tuple[int, ...], emit: Emit, cancelled: Callable[[], bool]
                ) -> None:
        """Make the movie and the OpenEXR files of one view, "" for the only one."""
        stem, ending = os.path.splitext(self.movie)
        movie = f"{stem}{view}{ending}" if self.movie else ""
        encode = Encode(made.job, os.path.dirname(made.results[0].path), frames, movie,
                        Shot(self.order.folder).info.fps, self.source if is_movie(self.source) else "", self.linear,
                        files.temporary(movie) if movie else "", view)
        try:
            self._run(encode, emit, cancelled)
        finally:
            with suppress(OSError):  # there is none, unless the process was killed
                files.remove(encode.fresh)
        self.more += [movie] if movie else []

    def _remember(self, path: str, pictures: Path) -> None:
        """Copy a finished frame, which carries all settings, to the pictures. Raise OSError."""
        folder, number = os.path.split(os.path.splitext(path)[0])
        with open(path, "rb") as file:
            data = file.read()
        own = hashlib.sha256(data).hexdigest()[:_OWN]  # the same frame is not copied again when a job goes on
        copy = pictures / f"{os.path.basename(folder)}_{number}_{own}.png"
        if not os.path.lexists(copy):
            files.write_whole(str(copy), data)

    def _trusted(self, job: str, emit: Emit) -> str:
        """Return `SavedCopy.trusted`, and note where scripts of an earlier run's copy do not run."""
        trusted = self.copy.trusted() if self.copy is not None else ""
        if self.copy is not None and self.copy.digest is None and not trusted:
            emit(Note(job, "Scripts in the copy of the scene do not run: it was made elsewhere, or its file forbids "
                           "them."))
        return trusted

    def _write_keyframes(self) -> None:
        """Write the person's pictures beside the frames that they stand for, and delete those of an earlier run."""
        if self.keyframes is None:
            return
        writer, views = ShotWriter(self.order.folder), Shot(self.order.folder).info.views
        writer.keep(KEYFRAMES, [number_of(number, views) for number in self.keyframes])
        for number, given in self.keyframes.items():
            source = given() if callable(given) else given
            data = source.encoded
            if data is None:
                packed = io.BytesIO()
                png_arrays.write(np.asarray(source.pixels), packed)
                data = packed.getvalue()
            writer.picture(KEYFRAMES, number_of(number, views), data)  # the other views follow the first one

    def _present(self) -> ShotOrder:
        """Return the order, without frames that the shot left out because they are broken."""
        there = set(Shot(self.order.folder).info.frames)
        return replace(self.order, frames=tuple(frame for frame in self.order.frames if frame in there))

    def _run(self, request: Record | Encode, emit: Emit, cancelled: Callable[[], bool]) -> None:
        def take(event: Event) -> None:
            if isinstance(event, Loading):
                emit(Loading(request.job, "Starting Blender"))
            elif not isinstance(event, Ready):
                emit(event)

        with closing(self.pipeline()) as pipeline:
            second_blender.carry_out(pipeline, request, take, cancelled,
                                     EngineDied("The Blender that records the frames stopped.", _AGAIN))
