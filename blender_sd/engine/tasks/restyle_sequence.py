"""A shot as it is restyled: its frames, what is known of the scene in each, and what keyframes show of other frames.

Frames are read when they are needed and forgotten soon after, so that memory does not grow with their number.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from ...core.errors import InvalidRequest, SourceUnusable
from ...core.request import Request
from ...geometry import attached_noise, carrying, keyframing
from ...geometry.carrying import Carried, Look, Picture
from ...geometry.keyframing import Anchors, Group
from ...geometry.motion import Box, Moment
from ...geometry.resample import Layer
from ...geometry.tracks import Tracked, Tracks
from ...protocol import shots
from ...protocol.messages import Source
from ...protocol.shot_names import frame_of, number_of, numbers_of, place_of
from ...protocol.shots import FLOW, SURFACE, VECTOR, Shot, ShotOrder
from ..conditioning import sources
from .bake import view_of

GROUP = 5  # keyframes that are painted together
_HELD = 12  # frames that are kept in memory at once
_THIN = 64  # pixels of a frame's width when keyframes are chosen
_NOBODY = np.iinfo(np.int64).min
_HOW = {SURFACE: "Frames are matched by points of their surfaces.",
        VECTOR: "Frames are matched by Blender's Vector pass.",
        FLOW: "Frames are matched by optical flow, which can be wrong."}


@dataclass(frozen=True, eq=False)
class Shown:
    """A finished picture of a frame, H×W×3 from 0 to 255, and when it was painted (`carrying.Picture`)."""

    frame: int
    picture: np.ndarray
    rank: float


@dataclass(eq=False)
class Stretch:
    """Frames that correspond: those between two cuts.

    Attributes:
        number: Its place in the shot.
        frames: Their numbers.
        link: How points are found again, of `shots.LINKS`.
        keys: The keyframes.
        groups: How they are painted.
        anchors: For each keyframe the earlier painted ones that it agrees with.
    """

    number: int
    frames: tuple[int, ...]
    link: str
    keys: list[int] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    anchors: dict[int, list[int]] = field(default_factory=dict)

    def group(self, key: int) -> Group:
        """Return the group of a keyframe."""
        return next(group for group in self.groups if key in group.frames)


class Stage:
    """A shot, ready to be painted.

    Attributes:
        shot: The folder.
        request: The request of the whole shot.
        wanted: The numbers of the frames to make. Each view of the scene's frames counts as one (`shot_names`).
        stretches: The frames between cuts; `plan` chooses their keyframes.
        left_out: What is wrong with frames that are left out, by their numbers.
    """

    def __init__(self, order: ShotOrder, request: Request, cancelled: Callable[[], bool]) -> None:
        """Look at a shot; no frame is kept.

        Raises:
            SourceUnusable: A file is missing or broken.
            InvalidRequest: A frame is wanted that the shot does not have.
            JobCancelled: The job was cancelled.
        """
        self.shot, self.request, self._cancelled = Shot(order.folder), request, cancelled
        info = self.shot.info
        unknown = sorted(set(order.frames) - set(info.frames))
        if unknown:
            raise InvalidRequest(f"The shot has no frame {unknown[0]}.",
                                 f"It has the frames {info.frames[0]} to {info.frames[-1]}.")
        self._numbers = numbers_of(info.frames, info.views)
        self.left_out = self._broken() if request.task.skip_broken else {}
        present = [frame for frame in self._numbers if frame not in self.left_out]
        chosen = set(order.frames or info.frames)
        self.wanted = [frame for frame in present if self._of_scene(frame) in chosen]
        for frame in self.wanted:
            if not self.shot.has(shots.FRAMES, frame):
                raise self._missing(frame)
        self.stretches = self._stretches(present)
        self._of = {frame: stretch for stretch in self.stretches for frame in stretch.frames}
        self.source = functools.lru_cache(_HELD)(self._source)
        self.moment = functools.lru_cache(_HELD)(self._moment)
        self._boxes: dict[int, tuple[Box, np.ndarray]] = {}
        self._ways: dict[int, Tracks] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is painted, in pixels."""
        return self.request.width, self.request.height

    def stretch(self, frame: int) -> Stretch:
        """Return the stretch of a frame."""
        return self._of[frame]

    def notes(self) -> list[str]:
        """Return what the artist should know: how points are found again, and what is left out."""
        links = {stretch.link for frame in self.wanted for stretch in [self.stretch(frame)]}
        texts = [_HOW[link] for link in shots.LINKS if link in links and self.request.task.consistency > 0]
        return texts + [f"Frame {self._of_scene(frame)} is left out: {why}" for frame, why in self.left_out.items()]

    # ---- what a frame is -------------------------------------------------------------------------------------------

    def _of_scene(self, frame: int) -> int:
        """Return the number that the scene has for a frame."""
        return frame_of(frame, self.shot.info.views)

    def _missing(self, number: int) -> SourceUnusable:
        frame = self._of_scene(number)
        return SourceUnusable(f"Frame {frame} of the shot is missing.", "Record the shot again.")

    def settings(self, frame: int) -> Request:
        """Return the request as it is at a frame."""
        course, request, number = self.shot.course, self.request, self._of_scene(frame)
        here, after, share = self.words(frame)
        return request.changed(
            strength=shots.value_at(course.strength, number, request.task.strength),
            guidance=shots.value_at(course.guidance, number, request.guidance),
            seed=shots.value_at(course.seed, number, request.seed),
            prompt=here if share < 0.5 else after)

    def words(self, frame: int) -> tuple[str, str, float]:
        """Return a frame's prompt, the one that it turns into, and how far it has."""
        return self.shot.course.prompt(self._of_scene(frame), self.request.prompt)

    def region_weights(self, frame: int) -> tuple[float, ...]:
        """Return how much of each region counts at a frame."""
        given, moment = self.shot.course.regions, self._of_scene(frame)
        return tuple(float(shots.value_at(given.get(number, {}), moment, 1.0))
                     for number in range(len(self.request.regions)))

    def _source(self, frame: int) -> tuple[np.ndarray, Image.Image | None]:
        """Return a frame as it came in: H×W×3 float32 from 0 to 255, and its alpha."""
        picture, alpha = self._opened(frame)
        picture, alpha = sources.resized(picture, alpha, self.size)
        return np.asarray(picture, np.float32), alpha

    def _opened(self, frame: int) -> tuple[Image.Image, Image.Image | None]:
        data = self.shot.picture(shots.FRAMES, frame)
        if data is None:
            raise self._missing(frame)
        try:
            return sources.open_source(Source(encoded=data))
        except SourceUnusable as error:
            raise SourceUnusable(f"Frame {self._of_scene(frame)} cannot be read: {error.message}",
                                 "Replace its file, or leave broken frames out.", error.detail) from None

    def given(self, frame: int) -> np.ndarray | None:
        """Return the keyframe that a person made for a frame, H×W×3 uint8; None for none."""
        data = self.shot.picture(shots.KEYFRAMES, frame)
        if data is None:
            return None
        picture, _ = sources.resized(sources.open_source(Source(encoded=data))[0], None, self.size)
        return np.asarray(picture, np.uint8)

    def _broken(self) -> dict[int, str]:
        result = {}
        for frame in self._numbers:
            carrying.check(self._cancelled)
            try:
                self._opened(frame)
            except SourceUnusable as error:
                result[frame] = error.message
        if len(result) == len(self._numbers):
            raise SourceUnusable("No frame of the shot can be read.", "Record the shot again.")
        return result

    # ---- how frames correspond -------------------------------------------------------------------------------------

    def _stretches(self, frames: Sequence[int]) -> list[Stretch]:
        info, present = self.shot.info, set(frames)
        cuts = {number_of(cut, info.views) for cut in info.cuts}
        parts: list[tuple[int, list[int]]] = []
        after = 0
        for frame in self._numbers:  # a cut at a frame that is left out is one at the next
            after += frame in cuts
            if frame in present:
                if not parts or parts[-1][0] != after:
                    parts.append((after, []))
                parts[-1][1].append(frame)
        return [Stretch(number, tuple(members), self._link(members)) for number, (_, members) in enumerate(parts)]

    def _link(self, frames: Sequence[int]) -> str:
        link = self.shot.info.link
        if link == SURFACE:
            names = {self.shot.topology(frame) for frame in frames}
            if len(names) == 1 and "" not in names:
                return SURFACE
        if link != FLOW and all(self.shot.has(shots.VECTORS, frame, "npz") for frame in frames):
            return VECTOR
        return FLOW

    def _moment(self, frame: int) -> Any:
        stretch = self._of[frame]
        if stretch.link != SURFACE:
            return Tracked(self._tracks(stretch), frame)
        posed = self.shot.surface(frame)
        return Moment(posed, view_of(posed.lens, self.size), self._rest(stretch)[0])

    def _rest(self, stretch: Stretch) -> tuple[Box, np.ndarray]:
        """Return the box of a stretch, and its first frame's vertices in it."""
        if stretch.number not in self._boxes:
            posed = self.shot.surface(stretch.frames[0])
            box = Box.round(posed)
            self._boxes = {stretch.number: (box, (posed.vertices.astype(np.float64) - box.centre) / box.scale)}
        return self._boxes[stretch.number]

    def _tracks(self, stretch: Stretch) -> Tracks:
        """Return the ways through a stretch, which all its frames share: each keeps much in memory."""
        def picture(frame: int) -> np.ndarray:
            return self.source(frame)[0]

        if stretch.number not in self._ways:
            vectors = self._vectors if stretch.link == VECTOR else None
            self._ways = {stretch.number: Tracks(stretch.frames, self.size, picture, vectors)}
        return self._ways[stretch.number]

    def _vectors(self, frame: int) -> np.ndarray:
        vectors, (width, height) = self.shot.vectors(frame), self.size
        info = self.shot.info
        if (info.width, info.height) != (width, height):
            rows = np.minimum((np.arange(height) + 0.5) * info.height / height, info.height - 1).astype(int)
            columns = np.minimum((np.arange(width) + 0.5) * info.width / width, info.width - 1).astype(int)
            vectors = vectors[rows][:, columns] * np.array([width / info.width, height / info.height] * 2, np.float32)
        return vectors

    # ---- keyframes -------------------------------------------------------------------------------------------------

    def plan(self, stretch: Stretch) -> None:
        """Choose the keyframes of a stretch, if that is not done. Raise JobCancelled."""
        if stretch.keys:
            return
        fixed = [frame for frame in stretch.frames if self.shot.has(shots.KEYFRAMES, frame)]
        thin = functools.lru_cache(4)(self._thin)

        def fresh(frame: int, keys: tuple[int, ...]) -> float:
            carrying.check(self._cancelled)
            return keyframing.fresh(self._thin(frame), [thin(key) for key in keys])

        views = self.shot.info.views  # what only other views show gets keyframes of its own
        firsts = [frame for frame in stretch.frames if place_of(frame, views) == 0]
        keys = keyframing.spread(firsts or stretch.frames, self.request.task.key_distance, fixed)
        stretch.keys = keyframing.densified(stretch.frames, sorted({stretch.frames[0], *keys}), fresh,
                                            keyframing.NEAR if len(views) > 1 else 1)
        stretch.groups = keyframing.grouped(stretch.keys, fixed, self.alike, GROUP)
        self._choose_anchors(stretch)

    def alike(self, frame: int) -> tuple:
        """Return what keyframes that are painted together have in common."""
        request = self.settings(frame)
        return request.guidance, request.seed, self.region_weights(frame)

    def _choose_anchors(self, stretch: Stretch) -> None:
        known = Anchors(self._rest(stretch)[1], self._thin(stretch.keys[0])) if stretch.link == SURFACE else None
        finished: list[int] = []
        for group in stretch.groups:
            for key in group.frames:
                if known is not None:
                    known.note(key, self._thin(key))
                around = keyframing.near(sorted(finished), key)
                further = known.of(key, [other for other in finished if other not in around]) if known else []
                stretch.anchors[key] = sorted({*around, *further}) if group.rank >= 0 else []
            finished += group.frames

    def _thin(self, frame: int) -> Any:
        return self.moment(frame).smaller(max(1, self.size[0] // _THIN))

    # ---- what keyframes show of a frame ----------------------------------------------------------------------------

    def carried(self, frame: int, pictures: Sequence[Shown], well: bool = False) -> Carried:
        """Return what finished pictures show of a frame.

        Args:
            frame: Its number.
            pictures: Finished frames.
            well: Whether only what they show about as well as the frame itself could counts; samples are the pixels'
                centres then.
        """
        moment = self.moment(frame)
        centres = np.arange(self.size[0] * self.size[1]), moment.points
        pixel, points = centres if well else moment.antialiased()
        least = moment.find(points, self._cancelled).quality * carrying.AS_WELL if well else None
        shape = self.size[1], self.size[0]
        density, labels = moment.density(points), moment.points.label.reshape(shape)
        look = Look(shape, pixel, points, density, labels, self.source(frame)[0])
        ordered = sorted(pictures, key=lambda item: (item.rank, item.frame))
        shown = [Picture(self._layer(item), self.moment(item.frame).find, item.rank) for item in ordered]
        carried = carrying.carry(look, shown, self.request.task.follow_light, least, self._cancelled)
        numbers = np.array([*(item.frame for item in ordered), _NOBODY])
        return replace(carried, owner=numbers[carried.owner])

    def _layer(self, item: Shown) -> Layer:
        moment = self.moment(item.frame)
        values = np.concatenate([item.picture.astype(np.float32), self.source(item.frame)[0]], 2)
        return Layer(values, moment.points.label.reshape(values.shape[:2]), moment.edges)

    def edges(self, frame: int) -> np.ndarray:
        """Return how many pixels each pixel of a frame lies from the next edge, H×W."""
        return self.moment(frame).edges

    def latent_moments(self, frames: Sequence[int], scale: int, grid: tuple[int, int]) -> list[Any]:
        """Return moments of frames with pixels as large as latents: `scale` pixels, `grid` columns and rows."""
        return [self.moment(frame).smaller(scale, grid) for frame in frames]

    def cells(self, frames: Sequence[int], moments: Sequence[Any]) -> list[np.ndarray] | None:
        """Return the cells of surfaces that the noise of frames is attached to; None where there are no surfaces."""
        stretch = self.stretch(frames[0])
        if stretch.link != SURFACE:
            return None
        rest = self._rest(stretch)[1]
        return [attached_noise.cells(moment, rest) for moment in moments]
