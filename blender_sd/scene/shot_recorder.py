"""Record a shot: what a scene's camera sees in each frame, and where every surface is meanwhile, into a shot's folder.

It renders, and so belongs into a Blender without a window. A frame's picture is written last: frames that have theirs
are never made again, and nothing is lost when the process ends in between.
"""
from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import bpy
import numpy as np

from ..core.errors import JobCancelled, OutputUnwritable, SourceUnusable
from ..core.regions import Region
from ..library import files
from ..library.encoded import HEADER_BYTES, read_header
from ..library.shots import ShotWriter
from ..protocol import png_arrays, shot_names, shots
from ..protocol.messages import Source
from ..protocol.shots import (
    CONTROLS, FLOW, FRAMES, REGIONS, SURFACE, SURFACES, TOPOLOGIES, VECTOR, VECTORS, Course, ShotInfo,
)
from . import frames, handlers, motion, renders, simulations, stereo
from .control import control_source
from .frame_surfaces import surfaces_of_frame
from .regions import open_regions
from .shot_layout import ShotLayout, described
from .shot_settings import within

AUTO = "auto"
LAYOUT = "layout.json"
_VARYING = ("strength", "guidance", "seed", "blend")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is recorded.

    Attributes:
        folder: The shot's folder; its parent must exist.
        frames: The numbers of the frames, rising.
        link: One of `shots.LINKS`, or AUTO for the most exact that the scene allows.
        bits: 8 or 16 bits for each value of the rendered frames.
        varying: By the name of a setting (strength, guidance, seed, blend, "regions/0", …) the scene's property that it
            follows, as a data path.
        prompts: Pairs of a frame and the prompt from there on.
        pictures: Returns the PNG of a frame that is there already, or None to leave the frame out; None renders all
            frames.
        of_scene: Whether the pictures show the scene; otherwise only they tell how things move.
        fps: Frames in a number of seconds; None for the scene's rate.
        skip_sizes: Whether frames of another size than the first are left out.
        controls: Kinds of control pictures that are drawn of each frame, by their numbers in the request.
        regions: Regions that are looked for in each frame, by their numbers in the request.
    """

    folder: str
    frames: tuple[int, ...]
    link: str = AUTO
    bits: int = 8
    varying: tuple[tuple[str, str], ...] = ()
    prompts: tuple[tuple[int, str], ...] = ()
    pictures: Callable[[int], bytes | None] | None = None
    of_scene: bool = True
    fps: tuple[int, int] | None = None
    skip_sizes: bool = False
    controls: tuple[tuple[int, str], ...] = ()
    regions: tuple[tuple[int, Region], ...] = ()


def record(scene: bpy.types.Scene, what: Recording, tell: Callable[[str, int, int], None] = lambda *_: None,
           note: Callable[[str], None] = lambda _: None, cancelled: Callable[[], bool] = lambda: False) -> ShotInfo:
    """Record a shot of `scene`, or what is missing of it, and return what holds for all of it.

    Args:
        scene: The scene; its current frame is the last one afterwards.
        what: What is recorded.
        tell: Called with what is being done, and how much of how much is done.
        note: Called with facts worth knowing.
        cancelled: Whether to stop.

    Raises:
        SourceUnusable: There is no camera, or a frame cannot be rendered.
        OutputUnwritable: The disk is full, or the folder cannot be written to.
        JobCancelled: It was cancelled.
    """
    if what.of_scene:
        check_recordable(scene, what.frames[0])
    try:
        return _Recorder(scene, what, tell, note, cancelled).run()
    except OSError as error:
        raise OutputUnwritable(f"The frames cannot be recorded in {what.folder}: {error.strerror or error}.",
                               "Free some space, or choose another folder; then resume.", repr(error)) from None


def check_recordable(scene: bpy.types.Scene, frame: int) -> None:
    """Raise SourceUnusable where a shot of `scene` that begins at a frame cannot be recorded."""
    frames.camera_of(scene, frame)
    stereo.endings_of(scene)


def fps_of(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return a scene's frame rate as frames in a number of seconds: (24, 1), (30000, 1001)."""
    rate = scene.render.fps / Fraction(scene.render.fps_base).limit_denominator(1000)  # a float of 32 bits: 1.00100005
    return rate.numerator, rate.denominator


def cuts_in(scene: bpy.types.Scene, numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the frames of `numbers` at which markers of the timeline change the camera."""
    cameras = [frames.camera_of(scene, number) for number in numbers]
    return tuple(number for number, (before, after) in zip(numbers[1:], pairwise(cameras)) if before != after)


# ---- inside --------------------------------------------------------------------------------------------------------


class _Recorder:
    """The work on one shot."""

    def __init__(self, scene: bpy.types.Scene, what: Recording, tell: Callable[[str, int, int], None],
                 note: Callable[[str], None], cancelled: Callable[[], bool]) -> None:
        self._scene, self._what = scene, what
        self._tell, self._note, self._cancelled = tell, note, cancelled
        self._writer = ShotWriter(what.folder)
        self._layout = self._known_layout()
        self._link = what.link if what.of_scene else FLOW
        of_eyes = what.of_scene and what.pictures is None
        self._views = stereo.views_of(scene) if of_eyes else ()
        self._endings = stereo.endings_of(scene) if of_eyes else ()
        self._numbers = shot_names.numbers_of(what.frames, self._endings)
        self._size: tuple[int, int] = (0, 0)
        self._values: dict[str, dict[int, Any]] = {name: {} for name, _ in what.varying}
        self._simulated = simulations.start_of(scene) if what.of_scene else None

    def run(self) -> ShotInfo:
        kept = []
        for done, number in enumerate(self._numbers):
            self._go_on("Rendering" if self._what.pictures is None else "Reading", done)
            if self._frame(number):
                kept.append(number)
        self._numbers = tuple(kept)
        if not self._numbers:
            raise SourceUnusable("None of the frames can be read.", "Look at the files.")
        if self._link in (AUTO, SURFACE) and self._has_surfaces():
            self._link = SURFACE
            self._align()
        elif self._link in (AUTO, SURFACE):
            self._link = VECTOR
        if self._link == VECTOR and self._views:
            self._link = FLOW
            self._note("The Vector pass is of the camera itself, so in stereo motion is estimated from the pictures "
                       "(optical flow).")
        if self._link == VECTOR:
            self._all_vectors()
        render, of_scene = self._scene.render, self._what.of_scene
        numbers = tuple(dict.fromkeys(self._frame_of(number) for number in self._numbers))
        info = ShotInfo(numbers, *self._size, pixel_aspect=render.pixel_aspect_x / render.pixel_aspect_y,
                        fps=self._what.fps or fps_of(self._scene), link=self._link,
                        cuts=cuts_in(self._scene, numbers) if of_scene else (), objects=tuple(self._layout.names),
                        views=self._endings)
        self._writer.course(self._course())
        self._writer.info(info)
        return info

    def _check(self) -> None:
        if self._cancelled():
            raise JobCancelled("The recording was cancelled.")

    def _go_on(self, doing: str, done: int) -> None:
        self._check()
        self._tell(doing, done, len(self._numbers))

    def _frame_of(self, number: int) -> int:
        return shot_names.frame_of(number, self._endings)

    def _view_of(self, number: int) -> str:
        return self._views[shot_names.place_of(number, self._endings)] if self._views else ""

    def _frame(self, number: int) -> bool:
        """Record one frame, or one view of it, unless it is there already. Return whether the shot has it."""
        frame = self._frame_of(number)
        path = self._path(FRAMES, number, "png")
        there = os.path.exists(path)
        if not there and self._what.of_scene:
            self._simulate_up_to(frame)
        if not there and self._what.of_scene or self._what.varying:
            self._scene.frame_set(frame)
            self._read_values(frame)
        if there:
            with open(path, "rb") as file:
                return self._fits(frame, file.read(HEADER_BYTES))
        if self._link in (AUTO, SURFACE):
            self._surface(number)
        view = self._view_of(number)
        picture = (renders.render_as_png(self._scene, self._what.bits, view) if self._what.pictures is None
                   else self._what.pictures(frame))
        if picture is None or not self._fits(frame, picture):
            return False
        if self._what.controls or self._what.regions:
            with stereo.through(self._scene, view):
                self._guides(number)
        self._writer.picture(FRAMES, number, picture)
        return True

    def _simulate_up_to(self, number: int) -> None:
        """Evaluate the frames before one that a simulation follows from and that were not evaluated yet: those of an
        earlier run, and those that are left out."""
        if self._simulated is None:
            return
        for passed in range(self._simulated, number):
            self._check()
            self._tell("Simulating", passed - self._simulated, number - self._simulated)
            self._scene.frame_set(passed)
        self._simulated = max(self._simulated, number)

    def _guides(self, number: int) -> None:
        """Draw what steers the current frame: control pictures, and where regions lie."""
        for place, kind in self._what.controls:
            self._writer.picture(f"{CONTROLS}/{place}", number, _png(control_source(kind, self._scene, self._size)()))
        named = [(region, None) for _, region in self._what.regions]
        for (place, _), mask in zip(self._what.regions, open_regions(named, "CAMERA", self._size) if named else ()):
            self._writer.picture(f"{REGIONS}/{place}", number, _png(mask() if callable(mask) else mask))

    def _surface(self, number: int) -> None:
        """Record where everything is in the current frame."""
        try:
            with stereo.through(self._scene, self._view_of(number)):
                seen = surfaces_of_frame(self._scene)
        except SourceUnusable as error:
            if self._link == SURFACE or "panoramic" not in error.message:
                raise
            self._link = FLOW
            self._note("The camera is panoramic, so motion is estimated from the pictures (optical flow).")
            return
        before = self._layout.digest, len(self._layout.unstable)
        vertices = self._layout.place(seen.parts)
        if (self._layout.digest, len(self._layout.unstable)) != before or not self._writer_knows():
            self._keep_layout()
        self._writer.surface(number, vertices, *self._layout.topology(), seen.lens)

    def _fits(self, number: int, picture: bytes) -> bool:
        """Return whether a frame's picture has the size of those before."""
        header = read_header(picture)
        if header is None:
            raise SourceUnusable(f"The picture of frame {number} cannot be read.", "Delete it, and record it again.")
        size = header.width, header.height
        self._size = size if self._size == (0, 0) else self._size
        if size != self._size and self._what.skip_sizes:
            self._note(f"Frame {number} is {size[0]} × {size[1]} pixels and was left out.")
        elif size != self._size:
            raise SourceUnusable(f"Frame {number} is {size[0]} × {size[1]} pixels, those before {self._size[0]} × "
                                 f"{self._size[1]}.",
                                 "All frames of a shot need the same size; Skip Broken Frames leaves others out.")
        return size == self._size

    # ---- what varies -------------------------------------------------------------------------------------------------

    def _read_values(self, number: int) -> None:
        for name, path in self._what.varying:
            try:
                value = self._scene.path_resolve(path)
            except ValueError:
                raise SourceUnusable(f"The scene has no property '{path:.60}' for {name}.",
                                     "Name one by its data path.") from None
            self._values[name][number] = within(name, value)

    def _course(self) -> Course:
        regions = {int(name.removeprefix("regions/")): values for name, values in self._values.items()
                   if name not in _VARYING}
        return Course(**{name: self._values[name] for name in _VARYING if name in self._values}, regions=regions,
                      prompts=self._what.prompts)

    # ---- surfaces ----------------------------------------------------------------------------------------------------

    def _known_layout(self) -> ShotLayout:
        """Return the layout of an earlier run, or a new one."""
        try:
            with open(os.path.join(self._what.folder, LAYOUT), encoding="utf-8") as file:
                known = json.load(file)
            path = os.path.join(self._what.folder, TOPOLOGIES, f"{known['topology']}.npz")
            with open(path, "rb") as packed:
                topology = shots.read_topology(packed.read(), path, known["topology"])
            return ShotLayout.from_json(known["layout"], topology.triangles)
        except (OSError, ValueError, KeyError, TypeError, SourceUnusable):
            return ShotLayout()

    def _keep_layout(self) -> None:
        """Write the layout as it is now, its topology first."""
        topology = shots.topology_of(*self._layout.topology())
        files.make_folder(os.path.join(self._what.folder, TOPOLOGIES))
        files.write_whole(os.path.join(self._what.folder, TOPOLOGIES, f"{topology.name}.npz"),
                          shots.topology_bytes(topology))
        known = {"topology": topology.name, "layout": self._layout.to_json()}
        files.write_whole(os.path.join(self._what.folder, LAYOUT), json.dumps(known).encode())

    def _writer_knows(self) -> bool:
        return os.path.exists(os.path.join(self._what.folder, LAYOUT))

    def _has_surfaces(self) -> bool:
        """Return whether points can be found again by surfaces; note why where they cannot."""
        if self._layout.unstable:
            self._note(f"The mesh of {described(self._layout.unstable)} changes from frame to frame, so motion is "
                       "taken from Blender's Vector pass.")
            return False
        if not self._layout.names:
            self._note("No mesh is in view, so motion is taken from Blender's Vector pass.")
        return bool(self._layout.names)

    def _align(self) -> None:
        """Give all frames the topology of the last one: those before objects appeared have an earlier one."""
        triangles, objects = self._layout.topology()
        wanted = shots.topology_of(triangles, objects).name
        for done, number in enumerate(self._numbers):
            path = self._path(SURFACES, number, "npz")
            with open(path, "rb") as file:
                vertices, name, lens = shots.read_surface(file.read(), path)
            if name != wanted:
                self._go_on("Aligning", done)
                self._writer.surface(number, self._layout.padded(vertices), triangles, objects, lens)

    def _all_vectors(self) -> None:
        for done, number in enumerate(self._numbers):
            if not os.path.exists(self._path(VECTORS, number, "npz")):
                self._go_on("Reading motion", done)
                self._scene.frame_set(number)
                around = self._numbers[max(0, done - 1):done + 2]
                step = min((after - before for before, after in pairwise(around)), default=1)
                self._writer.vectors(number, motion.vectors_of_frame(self._scene, self._size, step))

    def _path(self, kind: str, number: int, extension: str) -> str:
        return os.path.join(self._what.folder, kind, f"{shot_names.file_name(number)}.{extension}")


def _png(source: Source) -> bytes:
    """Return a picture as a PNG."""
    if source.encoded is not None:
        return source.encoded
    packed = io.BytesIO()
    png_arrays.write(np.asarray(source.pixels), packed)
    return packed.getvalue()


@contextmanager
def at_its_frame(scene: bpy.types.Scene) -> Iterator[None]:
    """Return a context after which `scene` is at its frame again, for recording in the person's own file."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        with handlers.unheard_by_callers():
            yield
    finally:
        scene.frame_set(frame, subframe=subframe)
