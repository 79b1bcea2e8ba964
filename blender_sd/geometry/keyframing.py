"""Choose the keyframes of a shot, and which earlier ones each of them is painted after.

All of it follows from the whole shot, never from the frames that are asked for, so that frames made in several pieces
and after any interruption are the same.
"""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_opening

from .motion import BEYOND, Moment

FRESH = 0.004  # of a frame: if larger patches are seen by neither keyframe round it, it becomes one too
_POOR = 0.35  # a keyframe that sees a point this much worse than the frame itself does not count
NEAR = 2  # keyframes on each side that a frame takes its pixels from
_ANCHORS = 3  # further keyframes that a new one is painted after
_GAIN = 0.01  # of a frame: least share that an anchor must add
_CELL = 4.0  # pixels of a thinned frame: how near points must be to count as the same


@dataclass(frozen=True)
class Group:
    """Keyframes that are painted together.

    Attributes:
        frames: Their numbers, rising.
        rank: Groups are painted by rising rank; −1 for keyframes that a person made.
    """

    frames: tuple[int, ...]
    rank: int


def spread(frames: Sequence[int], distance: int, fixed: Sequence[int]) -> list[int]:
    """Return keyframes at even distances from the first of `frames` to the last, and those that are `fixed`."""
    count = max(1, -(-(len(frames) - 1) // distance))
    places = np.rint(np.linspace(0, len(frames) - 1, count + 1)).astype(int)
    chosen = {frames[place] for place in places}
    given = sorted(set(fixed) & set(frames))
    ends = {frames[0], frames[-1]}
    place = {frame: number for number, frame in enumerate(frames)}
    near = {key for key in chosen - ends for other in given if abs(place[key] - place[other]) * 3 < distance}
    return sorted(chosen - near | set(given))


def densified(frames: Sequence[int], keys: Sequence[int], fresh: Callable[[int, tuple[int, ...]], float],
              depth: int = 1) -> list[int]:
    """Return `keys` with more of them wherever much is seen that the neighbours do not show.

    Args:
        frames: All frames.
        keys: Keyframes, among them the first frame.
        fresh: Returns the share of a frame that some keyframes do not show.
        depth: How many keyframes on each side are its neighbours, up to `NEAR`.
    """
    result, open_ = [keys[0]], list(zip(keys, keys[1:]))[::-1]
    place = {frame: number for number, frame in enumerate(frames)}
    while open_:
        before, after = open_.pop()  # the last one of `result`, and the next one
        around = (*result[-depth:], after, *(later for _, later in open_[:-depth:-1]))
        between = frames[place[before] + 1 : place[after]]
        shares = [fresh(frame, around) for frame in between]
        worst = int(np.argmax(shares)) if shares else 0
        if shares and shares[worst] > FRESH:
            open_ += [(between[worst], after), (before, between[worst])]
        else:
            result.append(after)
    for frame in frames[place[keys[-1]] + 1 :]:
        if fresh(frame, tuple(result[-depth:])) > FRESH:
            result.append(frame)
    return result


def grouped(keys: Sequence[int], fixed: Sequence[int], alike: Callable[[int], Hashable], size: int) -> list[Group]:
    """Return the groups in which keyframes are painted: neighbours with equal settings, at most `size` of them."""
    given = set(fixed)
    groups = [Group((key,), -1) for key in keys if key in given]
    members: list[int] = []
    rank = 0
    for key in keys:
        if key in given:
            continue
        if members and (len(members) >= size or alike(key) != alike(members[0])):
            groups.append(Group(tuple(members), rank))
            members, rank = [], rank + 1
        members.append(key)
    if members:
        groups.append(Group(tuple(members), rank))
    return groups


def near(keys: Sequence[int], frame: int) -> list[int]:
    """Return the keyframes that a frame between them takes its pixels from; a keyframe alone for itself."""
    place = bisect_left(keys, frame)
    if place < len(keys) and keys[place] == frame:
        return [frame]
    return list(keys[max(0, place - NEAR) : place + NEAR])


def fresh(moment: Moment, keys: Sequence[Moment]) -> float:
    """Return the share of what a moment sees that none of others shows about as well."""
    points = moment.points
    own = moment.find(points).quality
    best = np.zeros(len(own), np.float32)
    for key in keys:
        best = np.maximum(best, key.find(points).quality)
    return patches((best < _POOR * own).reshape(moment.view.height, moment.view.width), 2)


def patches(missing: np.ndarray, side: int) -> float:
    """Return the share of a frame (H×W bool) that is missing in patches of at least `side` pixels, not in thin lines.
    """
    wide = np.pad(missing, side, mode="edge")
    return float(binary_opening(wide, np.ones((side, side)))[side:-side, side:-side].mean())


class Anchors:
    """Find the earlier keyframes that show most of a new one, by the cells of the surface that each sees."""

    def __init__(self, rest: np.ndarray, first: Moment) -> None:
        """Prepare.

        Args:
            rest: N×3 vertices of one frame; cells are cubes there.
            first: A thinned moment, which sets the size of the cells.
        """
        depth = first.points.depth[first.points.label != BEYOND]
        typical = float(np.median(depth)) if first.view.perspective and len(depth) else 1.0
        self._rest, self._size = rest, _CELL * typical / first.view.scales()
        self._seen: dict[int, np.ndarray] = {}

    def cells(self, moment: Moment) -> np.ndarray:
        """Return the cells that a moment sees."""
        on = np.flatnonzero(moment.points.label != BEYOND)
        points = moment.points.part(on)
        place = np.einsum("nij,ni->nj", self._rest[moment.triangles[points.triangle]], points.weights)
        grid = np.clip(np.floor(place / self._size), -(1 << 19), (1 << 19) - 1).astype(np.int64) + (1 << 19)
        packed = (grid[:, 0] << 40 | grid[:, 1] << 20 | grid[:, 2]) ^ (points.label.astype(np.int64) << 48)
        return np.unique(packed)

    def note(self, frame: int, moment: Moment) -> None:
        """Remember what a keyframe sees."""
        self._seen[frame] = self.cells(moment)

    def of(self, frame: int, earlier: Sequence[int]) -> list[int]:
        """Return up to `_ANCHORS` of `earlier` keyframes that show most of what a noted one sees."""
        open_, total = self._seen[frame], max(1, len(self._seen[frame]))
        chosen: list[int] = []
        while len(chosen) < _ANCHORS:
            shares = {key: len(np.intersect1d(open_, self._seen[key], True)) / total for key in earlier
                      if key not in chosen and key in self._seen}
            best = max(shares, key=lambda key: (shares[key], -key), default=None)
            if best is None or shares[best] < _GAIN:
                break
            chosen.append(best)
            open_ = np.setdiff1d(open_, self._seen[best], True)
        return sorted(chosen)
