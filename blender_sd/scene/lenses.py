"""Cameras and 3D Views as numbers for the engine: where each point of space appears in the picture."""
from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from ..core.errors import SourceUnusable
from ..protocol.surfaces import Lens
from .views import Optics

_FAR = 1e9  # metres


def camera_lens(camera: bpy.types.Object, scene: bpy.types.Scene, graph: bpy.types.Depsgraph,
                size: tuple[int, int]) -> Lens:
    """Return the lens of a camera object as `scene` renders through it.

    Args:
        camera: A camera object.
        scene: The scene; its pixels' aspect counts.
        graph: The evaluated scene; drivers and constraints of the camera count.
        size: (width, height) of the picture in pixels; it shows all that a render of this size would.

    Raises:
        SourceUnusable: The object is no camera, or has a panoramic or custom lens.
    """
    if camera.type != "CAMERA":
        raise SourceUnusable(f"'{camera.name}' is not a camera.", "Choose a camera.")
    now = camera.evaluated_get(graph)
    if now.data.type not in ("PERSP", "ORTHO"):
        raise SourceUnusable(f"The camera '{camera.name}' is panoramic, and its picture cannot be projected.",
                             "Choose a perspective or an orthographic camera.")
    render = scene.render
    window = now.calc_matrix_camera(graph, x=size[0], y=size[1], scale_x=render.pixel_aspect_x,
                                    scale_y=render.pixel_aspect_y)
    return _lens(now.matrix_world.normalized(), window, size)


def view_lens(optics: Optics, size: tuple[int, int]) -> Lens:
    """Return the lens of a 3D View (`views.optics_of`) whose picture of `size` (width, height) has square pixels."""
    width, height = size
    scale = width / optics.width
    return Lens(*_placed(optics.place), scale, scale, width * (0.5 - optics.shift[0]),
                height / 2 + width * optics.shift[1], width, height, not optics.parallel, optics.near, optics.far)


def _lens(place: Matrix, window: Matrix, size: tuple[int, int]) -> Lens:
    """Return the lens at `place` whose projection matrix (OpenGL's) is `window`."""
    width, height = size
    perspective = window[3][3] == 0
    # x in clip space, divided by w, is w00·right/depth − w02 for a perspective camera, and w00·right + w03 for another
    across, down = (-window[0][2], -window[1][2]) if perspective else (window[0][3], window[1][3])
    near, far = (_plane(window, perspective, side) for side in (-1, 1))
    return Lens(*_placed(place), window[0][0] * width / 2, window[1][1] * height / 2, (1 + across) * width / 2,
                (1 - down) * height / 2, width, height, perspective, near, far)


def _placed(place: Matrix) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return origin and axes of a camera that looks along its −z."""
    turn = np.array(place.to_3x3().normalized())
    axes = np.stack([turn[:, 0], turn[:, 1], -turn[:, 2]])
    return tuple(map(float, place.translation)), tuple(map(float, axes.ravel()))


def _plane(window: Matrix, perspective: bool, side: int) -> float:
    """Return the depth of the near (−1) or far (1) plane."""
    slope, offset = window[2][2], window[2][3]
    if not perspective:
        return (offset - side) / slope
    return min(_FAR, offset / (slope + side)) if slope != -side else _FAR
