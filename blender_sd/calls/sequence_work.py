"""What goes with the job of an animation, on its background thread: a Blender without a window records its shot first,
and makes a movie of the finished frames.
"""
from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.errors import EngineDied, JobCancelled, OutputUnwritable
from ..library.frame_files import is_movie
from ..library.shots import ShotWriter
from ..protocol import endings, png_arrays
from ..protocol.messages import (
    Cancelled, Encode, Event, Failed, Finished, Installed, Loading, Note, Ready, Record, Source,
)
from ..protocol.shots import KEYFRAMES, Shot, ShotOrder
from ..session.process import ProcessPipeline
from ..session.sequences import Emit

_AGAIN = "Start it again: frames that are finished are kept."


@dataclass
class SequenceWork:
    """It implements `session.sequences.Sequence`.

    Attributes:
        pipeline: Makes the process that records.
        request: What is recorded, without a job's id; None if it was recorded already.
        order: What is asked of the engine.
        movie: The movie to make of the frames; "" for none.
        linear: The folder for OpenEXR files; "" for none.
        source: The movie whose sound that gets; "" for none.
        more: The OpenEXR files and the movie, once they are made.
        keyframes: Pictures that a person made for frames; None for those that the shot has.
        record_only: Whether nothing is painted.
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

    def record(self, job: str, emit: Emit, cancelled: Callable[[], bool]) -> ShotOrder | None:
        """Record the shot, or what is missing of it. Raises SDError."""
        if self.request is not None:
            self._run(replace(self.request, job=job), emit, cancelled)
            self.request = None
        try:
            self._write_keyframes()
        except OSError as error:
            raise OutputUnwritable(f"A keyframe cannot be written into {self.order.folder}.", _AGAIN,
                                   repr(error)) from None
        return None if self.record_only else self._present()

    def finish(self, made: Finished, emit: Emit, cancelled: Callable[[], bool]) -> Finished:
        """Make the movie and the OpenEXR files that are wanted. Raises SDError."""
        if (self.movie or self.linear) and made.results:
            info = Shot(self.order.folder).info
            if self.movie:
                emit(Loading(made.job, "Making the movie"))
            sound = self.source if is_movie(self.source) else ""
            first = self.order.frames[0] if self.order.frames else info.frames[0]
            pictures = tuple(result.path for result in made.results)
            self._run(Encode(made.job, pictures, self.movie, info.fps, sound, first - 1, self.linear), emit, cancelled)
            if self.linear:
                emit(Note(made.job, "The OpenEXR files are scene-linear (linear Rec. 709)."))
                self.more += [os.path.join(self.linear, f"{os.path.splitext(os.path.basename(path))[0]}.exr")
                              for path in pictures]
            self.more += [self.movie] if self.movie else []
        return made

    def _write_keyframes(self) -> None:
        """Write the person's pictures beside the frames that they stand for, and delete those of an earlier run."""
        if self.keyframes is None:
            return
        writer = ShotWriter(self.order.folder)
        writer.keep(KEYFRAMES, self.keyframes)
        for number, given in self.keyframes.items():
            source = given() if callable(given) else given
            data = source.encoded
            if data is None:
                packed = io.BytesIO()
                png_arrays.write(np.asarray(source.pixels), packed)
                data = packed.getvalue()
            writer.picture(KEYFRAMES, number, data)

    def _present(self) -> ShotOrder:
        """Return the order, without frames that the shot left out because they are broken."""
        there = set(Shot(self.order.folder).info.frames)
        return replace(self.order, frames=tuple(frame for frame in self.order.frames if frame in there))

    def _run(self, request: Record | Encode, emit: Emit, cancelled: Callable[[], bool]) -> None:
        ended: list[Event] = []

        def take(event: Event) -> None:
            if isinstance(event, Loading):
                emit(Loading(request.job, "Starting Blender"))
            elif isinstance(event, (Failed, Cancelled)):
                ended.append(event)
            elif not isinstance(event, (Ready, Installed)):
                emit(event)

        pipeline = self.pipeline()
        try:
            endings.run(pipeline, request, take, cancelled)
        finally:
            pipeline.close()
        if ended and isinstance(ended[-1], Failed):
            error = ended[-1].error()
            if isinstance(error, EngineDied):
                raise EngineDied("The Blender that records the frames stopped.", _AGAIN, error.detail)
            raise error
        if ended:
            raise JobCancelled("The job was cancelled.")
