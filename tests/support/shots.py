"""Shots whose motion is known in closed form, drawn by a small ray caster: for tests and the bench "sequence"."""
from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blender_sd.core.request import Request
from blender_sd.core.tasks import RESTYLE_SEQUENCE
from blender_sd.geometry.motion import BEYOND, Box, Moment, Points
from blender_sd.geometry.views import View
from blender_sd.library.shots import ShotWriter
from blender_sd.protocol import png_arrays, shots
from blender_sd.protocol.messages import Generate
from blender_sd.protocol.shots import Course, Posed, ShotInfo, ShotOrder, topology_of
from blender_sd.protocol.surfaces import Lens
from tests.support import meshes

Moved = Callable[[int, int, np.ndarray], np.ndarray]  # from part, frame and points at rest to points in the world
SKY = np.array([150.0, 175.0, 200.0])
LIGHT = np.array([0.4, -0.5, 0.77])


@dataclass
class Scene:
    """Parts that move, and a camera for each frame.

    Attributes:
        parts: As of `meshes`.
        moved: Where a part's points are in a frame; it must hold between vertices too.
        camera: The camera of a frame.
        frames: Their number, from 1.
        cuts: Frames that begin after a cut.
        colours: A colour for each part, 0 to 255.
    """

    parts: Sequence[meshes.Part]
    moved: Moved
    camera: Callable[[int], View]
    frames: int
    cuts: tuple[int, ...] = ()
    colours: Sequence[tuple[int, int, int]] = ((190, 90, 60), (110, 120, 100), (90, 110, 170), (170, 160, 90))
    _mesh: Any = field(init=False)

    def __post_init__(self) -> None:
        self._mesh = meshes.mesh(*self.parts)
        self._topology = topology_of(self._mesh.triangles, self._mesh.objects)

    def posed(self, frame: int) -> Posed:
        points = np.concatenate([self.moved(number, frame, part[0]) for number, part in enumerate(self.parts)])
        return Posed(points.astype(np.float32), self._topology, lens_of(self.camera(frame)))

    def moment(self, frame: int) -> Moment:
        """Return a frame's surface in a box of the world's own size, so that places are those of the world."""
        return Moment(self.posed(frame), self.camera(frame), Box(np.zeros(3), 1.0))

    def rest(self, points: Points) -> np.ndarray:
        """Return where points lie on the parts at rest."""
        corners = self._mesh.vertices[self._mesh.triangles[np.maximum(points.triangle, 0)]]
        return np.einsum("nij,ni->nj", corners, points.weights)

    def picture(self, frame: int, fine: int = 2) -> np.ndarray:
        """Return a frame, H×W×3 uint8: coloured parts with faint patterns under a light that stays."""
        moment = self.moment(frame)
        width, height = moment.view.width, moment.view.height
        row, column = np.divmod(np.arange(width * height * fine * fine), width * fine)
        points = moment.see((column + 0.5) / fine, (row + 0.5) / fine)
        corners = moment.vertices[moment.triangles[np.maximum(points.triangle, 0)]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        shade = 0.45 + 0.55 * np.abs(normal @ LIGHT)
        pattern = 0.85 + 0.3 * meshes.known_colour(self.rest(points), 0.5).mean(1)
        base = np.array(self.colours, float)[np.maximum(points.label // 2, 0)]
        colour = base * (shade * pattern)[:, None]
        colour[points.label == BEYOND] = SKY
        mean = colour.reshape(height, fine, width, fine, 3).mean((1, 3))
        return np.rint(np.clip(mean, 0, 255)).astype(np.uint8)

    def write(self, folder: str, course: Course | None = None, link: str = shots.SURFACE, surfaces: bool = True) -> str:
        """Write the shot's folder and return its path."""
        writer = ShotWriter(folder)
        view = self.camera(1)
        for frame in range(1, self.frames + 1):
            writer.picture(shots.FRAMES, frame, png(self.picture(frame)))
            if surfaces:
                posed = self.posed(frame)
                writer.surface(frame, posed.vertices, posed.topology.triangles, posed.topology.objects, posed.lens)
        if course is not None:
            writer.course(course)
        writer.info(ShotInfo(tuple(range(1, self.frames + 1)), view.width, view.height, cuts=self.cuts, link=link,
                             objects=tuple(f"part {number}" for number in range(len(self.parts)))))
        return folder


def lens_of(view: View) -> Lens:
    return Lens(tuple(map(float, view.origin)), tuple(map(float, np.ravel(view.axes))), float(view.scale[0]),
                float(view.scale[1]), float(view.centre[0]), float(view.centre[1]), view.width, view.height,
                view.perspective, 0.01, 1000.0)


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    png_arrays.write(picture, file)
    return file.getvalue()


def turned(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def small(frames: int = 5, size: int = 64, cuts: tuple[int, ...] = (), step: float = 0.05) -> Scene:
    """Return a cube that turns over a floor."""
    def moved(number: int, frame: int, points: np.ndarray) -> np.ndarray:
        return points @ turned(step * (frame - 1)).T + [0, 0, 0.15] if number == 0 else points

    def camera(frame: int) -> View:
        away = 1.5 if any(frame >= cut for cut in cuts) else 0.0
        return meshes.camera((4 * np.sin(away), -4 * np.cos(away), 2.0), size=size, fov=0.7)

    return Scene([meshes.cube((0, 0, 0), 0.5), meshes.plane(1.6, -0.35)], moved, camera, frames, cuts)


def order(folder: str, model: str, output: str, frames: Sequence[int] = (), keys_only: bool = False, size: int = 64,
          named: str = "", **settings: Any) -> Generate:
    """Return the message that restyles a shot."""
    request = Request.of(RESTYLE_SEQUENCE, **{"model": named or model, "width": size, "height": size, "steps": 4,
                                              "guidance": 3.0, "seed": 1, "prompt": "red brick wall", **settings})
    return Generate("job", request, model, output, shot=ShotOrder(folder, tuple(frames), keys_only))
