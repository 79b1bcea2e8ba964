"""Find points again where no surface is known: step by step from frame to frame, along vectors or optical flow.

Vectors come from the renderer; optical flow is estimated from the frames (DIS, Kroeger et al. 2016, as in OpenCV). A
point is lost where the way back leads somewhere else: something hides it there.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import GeometryMissing
from .motion import Found, Points
from .slices import Cancelled, check, never

_BACK = 1.0  # pixels by which the way back may miss
_BACK_SHARE = 0.05  # and by which share of the way
_FAR = 50.0  # frames over which a point counts half
_LATER = 0.5  # how much a frame after counts, against one before
_HELD = 1 << 30  # bytes of fields in memory
_FEWEST = 24  # fields in memory at least


@dataclass(frozen=True)
class Grid:
    """The columns and rows of a frame."""

    width: int
    height: int


class Tracks:
    """The ways of points through a stretch of frames."""

    def __init__(self, frames: Sequence[int], size: tuple[int, int], picture: Callable[[int], np.ndarray],
                 vectors: Callable[[int], np.ndarray] | None) -> None:
        """Prepare; nothing is computed yet.

        Args:
            frames: Their numbers.
            size: Width and height in pixels.
            picture: Returns a frame, H×W×3 from 0 to 255.
            vectors: Returns a frame's vectors (`shots.Shot.vectors`) at that size; None for optical flow.
        """
        self.size = size
        self.place = {frame: number for number, frame in enumerate(frames)}
        self._frames, self._picture, self._vectors = list(frames), picture, vectors
        self.field = functools.lru_cache(max(_FEWEST, _HELD // (8 * size[0] * size[1])))(self._field)

    def _field(self, number: int, step: int) -> np.ndarray:
        """Return where the pixels of the frame at a place go in the next one (`step` 1) or the one before (−1)."""
        frame = self._frames[number]
        if self._vectors is not None:
            vectors = self._vectors(frame)
            return (vectors[..., 2:] if step > 0 else vectors[..., :2]).copy()  # the other half is not kept with it
        return optical_flow(self._picture(frame), self._picture(self._frames[number + step]))

    def follow(self, x: np.ndarray, y: np.ndarray, start: int, end: int, cancelled: Cancelled = never
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where points of the frame `start` are in the frame `end`, and whether they can be seen all the way."""
        x, y = x.astype(np.float64), y.astype(np.float64)
        alive = np.ones(len(x), bool)
        at, to = self.place[start], self.place[end]
        step = 1 if to > at else -1
        for number in range(at, to, step):
            check(cancelled)
            way = _between(self.field(number, step), x, y)
            new_x, new_y = x + way[:, 0], y + way[:, 1]
            back = _between(self.field(number + step, -step), new_x, new_y)
            missed = np.hypot(way[:, 0] + back[:, 0], way[:, 1] + back[:, 1])
            alive &= missed <= _BACK + _BACK_SHARE * np.hypot(way[:, 0], way[:, 1])
            alive &= (new_x >= 0) & (new_y >= 0) & (new_x < self.size[0]) & (new_y < self.size[1])
            x, y = new_x, new_y
        return x, y, alive


class Tracked:
    """A frame whose points are tracked; it is asked as a `motion.Moment` is.

    Attributes:
        view: Its columns and rows.
        name: The same for all.
    """

    name = ""

    def __init__(self, tracks: Tracks, frame: int, factor: int = 1, size: tuple[int, int] | None = None) -> None:
        self._tracks, self._frame, self._factor = tracks, frame, factor
        self.view = Grid(*(size or (max(1, tracks.size[0] // factor), max(1, tracks.size[1] // factor))))

    def smaller(self, factor: int, size: tuple[int, int] | None = None) -> Tracked:
        """Return the same with pixels `factor` times as large."""
        return Tracked(self._tracks, self._frame, factor, size)

    @functools.cached_property
    def points(self) -> Points:
        """The pixels' centres. Their weights are the frame and the place there."""
        row, column = np.divmod(np.arange(self.view.width * self.view.height), self.view.width)
        count = len(row)
        place = [np.full(count, float(self._frame)), (column + 0.5) * self._factor, (row + 0.5) * self._factor]
        return Points(np.zeros(count, np.int32), np.stack(place, 1), np.zeros(count, np.int32),
                      np.ones(count, np.float32))

    @functools.cached_property
    def edges(self) -> np.ndarray:
        """No edge is known: all pixels are far from one."""
        return np.full((self.view.height, self.view.width), 32, np.uint8)

    def antialiased(self) -> tuple[np.ndarray, Points]:
        """Return the pixels and their centres; edges are not known."""
        return np.arange(self.view.width * self.view.height), self.points

    def density(self, points: Points) -> np.ndarray:
        """Return that all pixels are alike."""
        return np.ones(len(points.depth), np.float32)

    def find(self, points: Points, cancelled: Cancelled = never) -> Found:
        """Return where this frame sees points of another one."""
        count = len(points.label)
        start = int(points.weights[0, 0]) if count else self._frame
        x, y, alive = self._tracks.follow(points.weights[:, 1], points.weights[:, 2], start, self._frame, cancelled)
        steps = self._tracks.place[self._frame] - self._tracks.place[start]
        quality = (_LATER if steps > 0 else 1.0) / (1 + abs(steps) / _FAR)
        return Found(np.clip(x / self._factor, 0, self.view.width - 1e-3),
                     np.clip(y / self._factor, 0, self.view.height - 1e-3),
                     np.where(alive, quality, 0).astype(np.float32), np.ones(count, np.float32))


def optical_flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where the pixels of one picture (H×W×3, 0 to 255) are in another, H×W×2 pixels right and down.

    Raises:
        GeometryMissing: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise GeometryMissing("These frames have no scene to follow, and the package opencv-python-headless, which "
                              "follows them by sight, is missing in the engine's Python.",
                              "Install it, or set Consistency to 0.", str(error)) from error
    grey = [cv2.cvtColor(np.clip(picture, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return flow.calc(grey[0], grey[1], None).astype(np.float32)


def _between(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a field between its pixels, N×2; where four pixels differ much, the nearest."""
    height, width = field.shape[:2]
    left, top = np.clip(x - 0.5, 0, width - 1.001), np.clip(y - 0.5, 0, height - 1.001)
    column, row = left.astype(np.int64), top.astype(np.int64)
    right, down = (left - column)[:, None], (top - row)[:, None]
    four = [field[row, column], field[row, column + 1], field[row + 1, column], field[row + 1, column + 1]]
    even = (four[0] * (1 - right) + four[1] * right) * (1 - down) + (four[2] * (1 - right) + four[3] * right) * down
    near = field[np.clip(np.floor(y).astype(np.int64), 0, height - 1), np.clip(np.floor(x).astype(np.int64), 0,
                                                                             width - 1)]
    apart = np.max([np.abs(one - near).max(1) for one in four], axis=0) > 1
    return np.where(apart[:, None], near, even)
