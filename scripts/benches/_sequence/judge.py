"""Judge a clip by motion that is known from the scene's construction: what each pixel shows is found by Embree, and
where that is in another frame by the scene's own formulas and a pinhole's. Nothing of `geometry.motion` takes part."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from tests.support.shots import Scene

Ways = Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
_NEAR = 2e-3  # relative difference of distances up to which a ray has hit the point itself


@dataclass(frozen=True, eq=False)
class Seen:
    """What the pixels of a frame show: the triangle (−1 for none), weights in it, the part and the distance."""

    triangle: np.ndarray
    weights: np.ndarray
    part: np.ndarray
    distance: np.ndarray


class Judge:
    """The motion of a scene's pixels."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._scenes: dict[int, tuple] = {}
        self._seen: dict[int, Seen] = {}
        counts = [len(part[1]) for part in scene.parts]
        self._part_of = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum([0, *(len(part[0]) for part in scene.parts)])
        self._rest = np.concatenate([part[0] for part in scene.parts]).astype(np.float64)
        self._triangles = np.concatenate([part[1] + start for part, start in zip(scene.parts, starts)])

    def seen(self, frame: int) -> Seen:
        """Return what a frame's pixels show."""
        if frame not in self._seen:
            view = self.scene.camera(frame)
            row, column = np.divmod(np.arange(view.width * view.height), view.width)
            self._seen[frame] = self._cast(frame, column + 0.5, row + 0.5)
        return self._seen[frame]

    def _cast(self, frame: int, x: np.ndarray, y: np.ndarray) -> Seen:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        view = self.scene.camera(frame)
        if frame not in self._scenes:
            points = np.concatenate([self.scene.moved(number, frame, part[0])
                                     for number, part in enumerate(self.scene.parts)])
            world = EmbreeScene(robust=True)
            mesh = TriangleMesh(world, points.astype(np.float32), self._triangles.astype(np.int32))
            self._scenes[frame] = world, mesh
        right, up = (x - view.centre[0]) / view.scale[0], (view.centre[1] - y) / view.scale[1]
        ways = right[:, None] * view.axes[0] + up[:, None] * view.axes[1] + view.axes[2]
        eyes = np.broadcast_to(view.origin, ways.shape)
        hit = self._scenes[frame][0].run(np.ascontiguousarray(eyes, np.float32), np.ascontiguousarray(ways, np.float32),
                                         output=True)
        triangle = hit["primID"].astype(np.int64)
        u, v = hit["u"].astype(np.float64), hit["v"].astype(np.float64)
        part = np.where(triangle >= 0, self._part_of[np.maximum(triangle, 0)], -1)
        distance = np.where(triangle >= 0, hit["tfar"], np.inf)
        return Seen(triangle, np.stack([1 - u - v, u, v], 1), part, distance)

    def ways(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where the pixels of the frame `start` are in the frame `end`, x and y in pixels, and which are seen
        there."""
        seen, view = self.seen(start), self.scene.camera(end)
        corners = self._rest[self._triangles[np.maximum(seen.triangle, 0)]]
        rest = np.einsum("nij,ni->nj", corners, seen.weights)
        place = np.zeros_like(rest)
        for number in range(len(self.scene.parts)):
            mine = seen.part == number
            place[mine] = self.scene.moved(number, end, rest[mine])
        local = (place - view.origin) @ np.asarray(view.axes).T
        with np.errstate(divide="ignore", invalid="ignore"):
            x = view.centre[0] + view.scale[0] * local[:, 0] / local[:, 2]
            y = view.centre[1] - view.scale[1] * local[:, 1] / local[:, 2]
        inside = (seen.part >= 0) & (local[:, 2] > 0) & (x > 0) & (y > 0) & (x < view.width) & (y < view.height)
        x, y = np.where(inside, x, 0.5), np.where(inside, y, 0.5)
        there = self._cast(end, x, y)
        same = (there.part == seen.part) & (np.abs(there.distance - local[:, 2]) < _NEAR * local[:, 2])
        return x, y, inside & same

    def inner(self, start: int, end: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which pixels of `start` do not mix with another part, neither there nor at these places of `end`."""
        view = self.scene.camera(end)
        part = self.seen(end).part.reshape(view.height, view.width)
        own = self.seen(start).part
        padded = np.pad(own.reshape(view.height, view.width), 1, mode="edge")
        result = np.ones(len(own), bool)
        for down in (0, 1, 2):
            for along in (0, 1, 2):
                result &= padded[down:down + view.height, along:along + view.width].ravel() == own
        left, top = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
        for down in (-1, 0, 1, 2):
            for along in (-1, 0, 1, 2):
                result &= part[np.clip(top + down, 0, view.height - 1), np.clip(left + along, 0, view.width - 1)] == own
        return result

    def warp_error(self, clip: dict[int, np.ndarray], distance: int, ways: Ways | None = None) -> float:
        """Return E_warp (Lai et al. 2018) of a clip's frames (H×W×3 uint8) and those `distance` later; by another
        judge's `ways`, if given.

        What lies beyond all surfaces does not count: Cycles' vectors are pixels off there.
        """
        errors = []
        for frame, picture in clip.items():
            cuts = [cut for cut in self.scene.cuts if frame < cut <= frame + distance]
            if frame + distance not in clip or cuts:
                continue
            x, y, seen = (ways or self.ways)(frame, frame + distance)
            chosen = seen & (self.seen(frame).part >= 0) & self.inner(frame, frame + distance, x, y)
            later = clip[frame + distance].astype(np.float64) / 255
            read = np.stack([map_coordinates(later[..., channel], [y[chosen] - 0.5, x[chosen] - 0.5], order=3,
                                             mode="nearest") for channel in range(3)], 1)
            own = picture.reshape(-1, 3)[chosen].astype(np.float64) / 255
            errors.append(((read - own) ** 2).sum(1).mean())
        return float(np.mean(errors))


def energy(picture: np.ndarray) -> float:
    """Return the gradient energy of a picture: the mean squared step between neighbours."""
    values = picture.astype(np.float64) / 255
    return float(((np.diff(values, axis=0) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean()) / 2)


def gradient(picture: np.ndarray) -> float:
    """Return the mean step between neighbours of a picture."""
    values = picture.astype(np.float64) / 255
    return float((np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()) / 2)
