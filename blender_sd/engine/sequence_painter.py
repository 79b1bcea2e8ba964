"""Restyle the frames of a shot so that surfaces keep what was painted on them.

Keyframes are painted in small groups that agree at every step, each group after the earlier keyframes that show the
same points. All other frames take their pixels from finished keyframes; the model paints only what none of them shows.
Everything follows from the whole shot, so a frame is the same whatever was asked for with it and wherever a run was
interrupted.
"""
from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.request import Request
from ..geometry import keyframing, resample
from ..geometry.carrying import Carried
from ..geometry.keyframing import Group
from ..library import kept_pictures
from ..library.model_paths import Resolved
from ..library.policy import Policy
from ..protocol import shots
from ..protocol.messages import EngineConfig
from .job import Job
from .models.cache import Model
from .output.frames import FrameStore
from .painter import Painter
from .sequence_brush import Brush, as_bytes
from .tasks.restyle_sequence import Shown, Stage, Stretch

log = logging.getLogger(__name__)
_VERSION = 1  # of the method: frames of another one are made again
_PATCH = 32  # of a width: what no keyframe shows is painted if it is patches larger than that share, else filled
_PLAN = "plan.json"
_HELD = 8  # keyframes in memory


@dataclass(frozen=True)
class Frame:
    """A frame to be put on disk, or one that is there.

    Attributes:
        number: Its number.
        digest: What it is made from.
        request: Its own request.
        picture: H×W×3 or 4, uint8 or uint16; None if the file is there already.
        key: Whether it is a keyframe.
    """

    number: int
    digest: str
    request: Request
    picture: np.ndarray | None
    key: bool


class SequencePainter:
    """Paint the frames of one job.

    Attributes:
        job: The job.
        stage: The shot.
    """

    def __init__(self, painter: Painter, job: Job, resolved: Resolved, rules: Policy, config: EngineConfig,
                 store: FrameStore) -> None:
        """Look at the shot. Raise SDError if it cannot be restyled."""
        self.job, self._store = job, store
        self.stage = Stage(job.message.shot, resolved.request.single(0), job.cancelled)
        self._brush = Brush(painter, job, resolved, rules, config, self.stage)
        self._base = _digest(_VERSION, kept_pictures.key_of(resolved.request.changed(
            strength=0.0, batch=0, frame_bits="8", skip_broken=False, consistency=0.0, prompt="", seed=0, guidance=0)))
        self._files: dict[str, str] = {}
        self._shared: dict[int, str] = {}
        self._digests: dict[int, str] = {}
        self._kept: set[int] = set()
        self._pictures: dict[int, np.ndarray] = {}  # keyframes that were read last

    def loaded(self) -> Model:
        """Return the model, loaded if it is not yet. Raise SDError."""
        return self._brush.loaded()

    @property
    def total(self) -> int:
        """How many files are wanted."""
        return len(self._wanted())

    def frames(self) -> Iterator[Frame]:
        """Yield each wanted frame, in order; with only keyframes wanted, these, which the store has by then.

        Raises:
            SDError: A frame cannot be painted, or the job was cancelled. Libraries' own errors pass through.
        """
        for text in self.stage.notes():
            self.job.note(text)
        wanted = self._wanted()
        self._brush.total = len(wanted)
        for number in wanted:
            self.job.check()
            request, stretch = self.stage.settings(number), self._planned(number)
            key = number in stretch.keys
            digest = self._final_digest(number)
            if self.job.message.shot.keys_only:
                picture: np.ndarray | None = self._key(number)
                digest = self._key_digest(number)
            else:
                picture = None if self._store.has(number, digest) else self._finished(number)
            yield Frame(number, digest, request, picture, key)
            self._brush.done += 1

    def _wanted(self) -> list[int]:
        if not self.job.message.shot.keys_only:
            return self.stage.wanted
        needed = {key for frame in self.stage.wanted
                  for key in keyframing.near(self._planned(frame).keys, frame)}
        return sorted(needed)

    def _planned(self, frame: int) -> Stretch:
        """Return the stretch of a frame with its keyframes, which are remembered beside the frames."""
        stretch = self.stage.stretch(frame)
        if stretch.keys or self.job.request.task.consistency == 0:
            return stretch
        digest = _digest(self._base, stretch.frames, stretch.link, [
            (name, os.path.getsize(path), os.stat(path).st_mtime_ns) for number in stretch.frames
            for name in self.stage.shot.files(number) for path in [os.path.join(self.stage.shot.folder, name)]],
            [self.stage.alike(number) for number in stretch.frames])
        known = self._store.noted(_PLAN)
        known = known if isinstance(known, dict) else {}
        if digest in known:
            keys, groups, anchors = known[digest]
            stretch.keys = keys
            stretch.groups = [Group(tuple(members), rank) for members, rank in groups]
            stretch.anchors = {int(key): others for key, others in anchors.items()}
        else:
            self.job.loading("Choosing keyframes")
            self.stage.plan(stretch)
            groups = [(group.frames, group.rank) for group in stretch.groups]
            self._store.note(_PLAN, {**known, digest: (stretch.keys, groups, stretch.anchors)})
        return stretch

    # ---- what frames are made from ---------------------------------------------------------------------------------

    def _input_digest(self, frame: int) -> str:
        request = self.stage.settings(frame)
        files = [(name, self._file_digest(name)) for name in self.stage.shot.files(frame)]
        return _digest(files, request.task.strength, request.guidance, request.seed, self.stage.words(frame),
                       self.stage.region_weights(frame))

    def _file_digest(self, name: str) -> str:
        if name not in self._files:
            self.job.check()
            with open(os.path.join(self.stage.shot.folder, name), "rb") as file:
                self._files[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._files[name]

    def _key_digest(self, key: int) -> str:
        """Return what a keyframe is made from; those of earlier groups first, so that nothing recurses deeply."""
        stretch = self._planned(key)
        for group in stretch.groups:
            if key in self._digests:
                break
            if group.frames[0] in self._digests:
                continue
            parts = [[self._input_digest(member), [self._digests[anchor] for anchor in stretch.anchors[member]
                                                   if anchor not in group.frames]] for member in group.frames]
            for member in group.frames:
                self._digests[member] = _digest(self._base, member, self._shared_digest(stretch), parts)
        return self._digests[key]

    def _shared_digest(self, stretch: Stretch) -> str:
        """Return what all of a stretch is made from: the surface whose cells its noise is attached to, or all pictures
        and vectors, along which points are followed."""
        if stretch.number not in self._shared:
            kinds = ((shots.SURFACES, stretch.frames[:1]),) if stretch.link == shots.SURFACE else (
                (shots.FRAMES, stretch.frames), (shots.VECTORS, stretch.frames))
            names = [name for kind, frames in kinds for frame in frames for name in self.stage.shot.files(frame)
                     if name.startswith(f"{kind}/")]
            self._shared[stretch.number] = _digest(stretch.link, [self._file_digest(name) for name in names])
        return self._shared[stretch.number]

    def _final_digest(self, frame: int) -> str:
        task, stretch = self.job.request.task, self._planned(frame)
        own = [self._base, frame, task.frame_bits, task.consistency, self._input_digest(frame)]
        if task.consistency > 0:
            own.append(self._shared_digest(stretch))
        return _digest(*own, [self._key_digest(key) for key in keyframing.near(stretch.keys, frame)])

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _finished(self, frame: int) -> np.ndarray:
        """Return a frame as it is written."""
        task = self.job.request.task
        if task.consistency == 0:
            picture = self._brush.alone(frame, self._brush.came(frame)).astype(np.float32)
        else:
            picture = self._composed(frame)
            if task.consistency < 1:
                strength = self.stage.settings(frame).task.strength * (1 - task.consistency)
                picture = self._brush.free(frame, as_bytes(picture), None, strength).astype(np.float32)
        picture = self._brush.with_kept(frame, picture)
        alpha = self.stage.source(frame)[1]
        if alpha is not None:
            picture = np.concatenate([picture, np.asarray(alpha, np.float32)[..., None]], 2)
        if task.frame_bits == "16":
            return np.rint(np.clip(picture, 0, 255) * 257).astype(np.uint16)
        return as_bytes(picture)

    def _composed(self, frame: int) -> np.ndarray:
        """Return a frame made of what keyframes show, H×W×3 float32 from 0 to 255."""
        stretch = self.stage.stretch(frame)
        around = keyframing.near(stretch.keys, frame)
        if around == [frame]:
            return self._key(frame).astype(np.float32)
        carried = self.stage.carried(frame, self._shown(stretch, around, True))
        holes = 1 - carried.known
        filled = _filled(carried, self.stage.moment(frame).points.label.reshape(holes.shape),
                         self.stage.source(frame)[0])
        if keyframing.patches(holes > 0.5, max(2, holes.shape[1] // _PATCH)) > keyframing.FRESH:
            strength = self.stage.settings(frame).task.strength
            new = self._brush.free(frame, as_bytes(filled), holes > 0.01, strength)
            filled = filled * (1 - holes[..., None]) + new * holes[..., None]
        return filled

    def _key(self, key: int) -> np.ndarray:
        """Return a keyframe, H×W×3 uint8, painted if it is not there yet."""
        stretch = self._planned(key)
        if key in self._pictures:
            return self._pictures[key]
        needed = [] if self._is_kept(key) else self._before(stretch, key)
        for group in stretch.groups:
            if group.frames[0] not in needed or all(map(self._is_kept, group.frames)):
                continue
            self._paint_group(stretch, group)
        while len(self._pictures) >= _HELD:
            self._pictures.pop(next(iter(self._pictures)))
        self._pictures[key] = self._store.read(key)
        return self._pictures[key]

    def _is_kept(self, key: int) -> bool:
        """Return whether a keyframe is in the store; once it is, it stays."""
        if key not in self._kept and self._store.has(key, self._key_digest(key), True):
            self._kept.add(key)
        return key in self._kept

    def _before(self, stretch: Stretch, key: int) -> set[int]:
        """Return the keyframes that must be there before one is, with itself and those painted with them."""
        open_, seen = [key], set[int]()
        while open_:
            members = stretch.group(open_.pop()).frames
            seen.update(members)
            anchors = {anchor for member in members for anchor in stretch.anchors[member]} - seen
            seen |= anchors
            open_ += anchors
        return seen

    def _shown(self, stretch: Stretch, keys: Sequence[int], between: bool = False) -> list[Shown]:
        """Return finished keyframes. Tracked ones count alike: the nearest in time is the best."""
        tracked = stretch.link != shots.SURFACE
        return [Shown(key, self._key(key) if between else self._store.read(key),
                      -2.0 if tracked else stretch.group(key).rank) for key in keys]

    # ---- keyframes -------------------------------------------------------------------------------------------------

    def _paint_group(self, stretch: Stretch, group: Group) -> None:
        """Paint the keyframes of a group, whose anchors are there, and keep them."""
        if group.rank < 0:
            for member in group.frames:
                self._keep(member, self.stage.given(member))
            return
        log.info("painting the keyframes %s", group.frames)
        anchors = {member: self._shown(stretch, [key for key in stretch.anchors[member] if key not in group.frames])
                   for member in group.frames}
        bases, known = [], []
        for member in group.frames:
            base, keep = self._begun(member, anchors[member])
            bases.append(base)
            known.append(keep)
        raw = self._brush.painted(group.frames, bases, known)
        tracked = stretch.link != shots.SURFACE
        members = [Shown(member, picture, group.rank + (number if tracked else 0))
                   for number, (member, picture) in enumerate(zip(group.frames, raw))]
        for own in members:
            self.job.check()
            before = [other for other in members if not tracked or other.frame <= own.frame]
            self._keep(own.frame, self._joined(own, [*anchors[own.frame], *before]))

    def _begun(self, frame: int, anchors: Sequence[Shown]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what a keyframe is painted over, H×W×3 uint8, and where that is finished already, H×W bool."""
        came = self.stage.source(frame)[0]
        if not anchors:
            return as_bytes(came), None
        carried = self.stage.carried(frame, anchors, well=True)
        known = carried.known > 0.99
        return as_bytes(np.where(known[..., None], carried.colours, came)), known

    def _joined(self, own: Shown, pictures: Sequence[Shown]) -> np.ndarray:
        """Return a keyframe in which each point looks as in the picture that owns it, H×W×3 uint8."""
        carried = self.stage.carried(own.frame, pictures)
        share = carried.known[..., None]
        result = carried.colours * share + own.picture * (1 - share)
        mine = (carried.owner == own.frame) & (self.stage.edges(own.frame) < resample.INSIDE)
        return as_bytes(np.where(mine[..., None], own.picture, result))

    def _keep(self, key: int, picture: np.ndarray) -> None:
        self._store.write_key(key, picture, self._key_digest(key))


def _filled(carried: Carried, labels: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return colours with holes filled by what is round them on the same surface, else as the frame came in."""
    holes = carried.known < 0.999
    if not holes.any():
        return carried.colours
    near = resample.smoothed(carried.colours, carried.known, labels, 5)
    reached = resample.smoothed(np.ones_like(source[..., :1]), carried.known, labels, 5)
    near = np.where(reached > 0, near, source)
    share = carried.known[..., None]
    return carried.colours * share + near * (1 - share)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
