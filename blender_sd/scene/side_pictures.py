"""Small pictures of objects in plain grey, as a side or a camera sees them, so that views can be chosen by eye.

Main thread; pictures need a window.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import bpy
import gpu
import numpy as np
from mathutils import Matrix, Vector

from ..core.errors import NeedsWindow, SourceUnusable, TargetUnusable
from ..protocol.side_views import direction_of, framed
from ..protocol.surfaces import Lens
from . import drawing, surfaces
from .lenses import camera_lens
from .pixels import srgb_from_linear
from .shapes import vertices_of

SIDE = 192  # pixels of a picture
_TAPS = 2  # drawn pixels along each side of a picture's pixel, against jagged edges
_MOST = 100_000  # triangles in all; reading them takes the main thread 30 ms
_LEAST = 300  # triangles that a smaller object counts as, for what each object costs
_GREY = 190
_LIGHT = (-0.4, 0.6, -1.0)  # towards it, along the camera's right, up and ahead: faces at an angle differ in brightness


@dataclass(frozen=True, eq=False)
class Solids:
    """Objects that pictures are taken of, as they stand now.

    Attributes:
        parts: Each object's faces, and its world matrix (4×4).
        centre: The middle of their bounding box in the world.
        points: N×3, all vertices, from the centre.
    """

    parts: tuple[tuple[surfaces.Surface, np.ndarray], ...]
    centre: np.ndarray
    points: np.ndarray

    def side_lens(self, side: str) -> Lens:
        """Return the camera that shows one of `core.tasks.SIDES`, framed as the engine frames it."""
        view = framed(self.points, direction_of(side))
        return _framed_to(Lens(tuple(view.origin + self.centre), tuple(view.axes.ravel()), view.scale * SIDE,
                               view.scale * SIDE, SIDE / 2, SIDE / 2, SIDE, SIDE, True, 0.0, np.inf), self)

    def camera_lens(self, camera: bpy.types.Object) -> Lens:
        """Return a camera object as a lens. Raise SourceUnusable for panoramic ones."""
        graph = bpy.context.evaluated_depsgraph_get()
        return _framed_to(camera_lens(camera, bpy.context.scene, graph, (SIDE, SIDE)), self)


def read_solids(objects: Sequence[bpy.types.Object]) -> Solids:
    """Return mesh objects as they stand now, with their modifiers.

    Raises:
        TargetUnusable: There are none, or they have no faces.
        SourceUnusable: One is in Edit Mode, or they have too many faces to be drawn quickly.
    """
    parts, places, left, graph = [], [], _MOST, bpy.context.evaluated_depsgraph_get()
    for obj in objects:
        if obj.mode == "EDIT":
            raise SourceUnusable("Objects in Edit Mode have no pictures of their views.", "Leave Edit Mode (Tab).")
        mesh = obj.evaluated_get(graph).data
        if not mesh.polygons:
            continue
        surface = surfaces.whole_surface(obj, bpy.context, max(left, 1))
        left -= _LEAST if surface is None else max(len(surface.corners) // 3, _LEAST)
        if surface is None or left < 0:
            raise SourceUnusable("The objects have too many faces for pictures of their views.",
                                 "Choose the views by their names.")
        matrix = np.array(obj.matrix_world, np.float64)
        parts.append((surface, matrix))
        places.append(vertices_of(mesh) @ matrix[:3, :3].T + matrix[:3, 3])
    if not parts:
        raise TargetUnusable("The selected objects have no faces.", "Select the mesh objects to texture first.")
    points = np.concatenate(places)
    centre = (points.min(0) + points.max(0)) / 2
    return Solids(tuple(parts), centre, (points - centre).astype(np.float32))


def clip_matrix(lens: Lens) -> np.ndarray:
    """Return the 4×4 matrix from the world to OpenGL's clip space, where x and y run from −1 to 1 in the picture."""
    across, up = 2 / lens.width, 2 / lens.height
    shift = lens.centre_x * across - 1, 1 - lens.centre_y * up
    span = lens.far - lens.near
    if lens.perspective:
        depth = [0, 0, (lens.far + lens.near) / span, -2 * lens.far * lens.near / span]
        rows = [[lens.scale_x * across, 0, shift[0], 0], [0, lens.scale_y * up, shift[1], 0], depth, [0, 0, 1, 0]]
    else:
        depth = [0, 0, 2 / span, -(lens.far + lens.near) / span]
        rows = [[lens.scale_x * across, 0, 0, shift[0]], [0, lens.scale_y * up, 0, shift[1]], depth, [0, 0, 0, 1]]
    axes = np.array(lens.axes, np.float64).reshape(3, 3)
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = axes, -axes @ np.array(lens.origin)
    return np.array(rows, np.float64) @ view


class Drawer:
    """Draws solids through one lens after another."""

    def __init__(self, solids: Solids) -> None:
        self.solids = solids
        self._grey = drawing.Picture(np.full((1, 1, 3), _GREY, np.uint8))
        self._batches: list[gpu.types.GPUBatch] = []

    def picture(self, lens: Lens) -> np.ndarray:
        """Return what `lens` sees: SIDE×SIDE×4 float32 sRGB with straight alpha, 0 to 1, rows bottom-up.

        Raises:
            NeedsWindow: Blender has no window.
        """
        if bpy.app.background:
            raise NeedsWindow("Pictures of the views need a Blender with a window.", "Choose the views by their names.")
        side = SIDE * _TAPS
        offscreen = gpu.types.GPUOffScreen(side, side)
        try:
            with offscreen.bind():
                frame = gpu.state.active_framebuffer_get()
                frame.clear(color=(0.0, 0.0, 0.0, 0.0), depth=1.0)
                self._draw(lens)
                raw = frame.read_color(0, 0, side, side, 4, 0, "UBYTE")
        finally:
            offscreen.free()
        raw.dimensions = side * side * 4
        return _shrunk(np.array(raw, np.uint8).reshape(SIDE, _TAPS, SIDE, _TAPS, 4))

    def _draw(self, lens: Lens) -> None:
        shader = drawing.shader("on")
        if not self._batches:
            self._batches = [drawing.batch_of(shader, "TRIS", pos=surface.corners, uv=surface.uvs,
                                              normal=surface.normals) for surface, _ in self.solids.parts]
        seen, light = clip_matrix(lens), Vector(np.array(_LIGHT) @ np.array(lens.axes).reshape(3, 3))
        test, mask = gpu.state.depth_test_get(), gpu.state.depth_mask_get()
        gpu.state.depth_test_set("LESS_EQUAL")
        gpu.state.depth_mask_set(True)
        try:
            shader.bind()
            for batch, (_, matrix) in zip(self._batches, self.solids.parts, strict=True):
                shader.uniform_float("matrix", Matrix((seen @ matrix).tolist()))
                shader.uniform_float("eye", (Matrix(matrix.tolist()).to_3x3().transposed() @ light).normalized())
                shader.uniform_float("share", 1.0)
                shader.uniform_sampler("image", self._grey.texture())
                batch.draw(shader)
        finally:
            gpu.state.depth_test_set(test)
            gpu.state.depth_mask_set(mask)


def _framed_to(lens: Lens, solids: Solids) -> Lens:
    """Return `lens` with its clipping planes close to the solids, for an exact depth."""
    depth = (solids.points + (solids.centre - np.array(lens.origin))) @ np.array(lens.axes[6:])
    span = float(np.ptp(depth)) + 1e-6
    near = max(lens.near, float(depth.min()) - span / 100, 1e-4 if lens.perspective else 0.0)
    return replace(lens, near=near, far=max(near * 1.001 + 1e-6, min(lens.far, float(depth.max()) + span / 100)))


def _shrunk(drawn: np.ndarray) -> np.ndarray:
    """Return H×W×4 sRGB with straight alpha, of linear light with alpha: H×taps×W×taps×4 uint8."""
    rows = drawn.sum(1, dtype=np.uint16)
    mean = rows.sum(2, dtype=np.uint16) * np.float32(1 / (255 * _TAPS**2))
    light, alpha = mean[..., :3], mean[..., 3:]  # black where nothing is, so light has its alpha in it
    mean[..., :3] = srgb_from_linear(light / np.maximum(alpha, 1e-6))
    return mean
