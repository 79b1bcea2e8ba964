"""A view as a camera: a camera whose render shows the same as a 3D View, point for point, from the view's two matrices.

Both matrices are OpenGL's: from the world into the view's space (x right, y up, -z ahead), and from there to the
region's clip space, where x and y run from -1 to 1 between its borders
(https://docs.blender.org/api/current/bpy.types.RegionView3D.html).
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
from mathutils import Matrix

_SENSOR = 36.0  # millimetres; a lens has at least 1, so very wide views need a wider sensor
_NEAR = 0.01  # metres; a camera's near clipping plane is never farther away
_FAR = 1e9


@dataclass(frozen=True)
class Optics:
    """A camera in numbers.

    Attributes:
        place: Its world matrix.
        width: Width of the picture in metres at a distance of 1; at any distance in a `parallel` projection.
        shift: How far the picture's middle lies right of and above the axis, in widths.
        near: Metres along the axis at which things begin to be seen.
        far: Metres along the axis at which they cease to be seen.
    """

    place: Matrix
    parallel: bool
    width: float
    shift: tuple[float, float]
    near: float
    far: float


@dataclass(frozen=True)
class View:
    """What a 3D View looks at: the `objects` of `scene` that it shows, in the view layer of that name."""

    scene: bpy.types.Scene
    layer: str
    optics: Optics
    objects: tuple[bpy.types.Object, ...]


def optics_of(view: Matrix, window: Matrix, aspect: float, part: Sequence[float] = (0.0, 0.0, 1.0, 1.0)) -> Optics:
    """Return the camera that sees what a region shows.

    Args:
        view: The region's view matrix.
        window: The region's projection matrix.
        aspect: Width to height of the picture; if the part's differs, its middle is seen.
        part: The part of the region: left, bottom, right, top, in shares of its sides.
    """
    parallel = window[3][3] != 0
    edges = [(2 * share - 1 + (-window[axis][3] if parallel else window[axis][2])) / window[axis][axis]
             for share, axis in zip(part, (0, 1, 0, 1), strict=True)]
    across, up = edges[2] - edges[0], edges[3] - edges[1]
    width = min(across, up * aspect)
    middle = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    near, far = (_along(window, parallel, side) for side in (-1, 1))
    back = max(0.0, _NEAR - near) if parallel else 0.0  # a parallel view also shows what lies behind its origin
    return Optics(view.inverted() @ Matrix.Translation((0, 0, back)), parallel, width,
                  (middle[0] / width, middle[1] / width),
                  near + back, far + back)


@contextmanager
def as_camera(optics: Optics, scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """Return a context in which `scene` has a camera with these optics, for square pixels; afterwards it has none."""
    data = bpy.data.cameras.new("Stable Diffusion view")
    camera = bpy.data.objects.new(data.name, data)
    try:
        camera.matrix_world = optics.place
        data.sensor_fit = "HORIZONTAL"
        data.sensor_width = max(_SENSOR, optics.width)
        data.lens = data.sensor_width / optics.width
        data.ortho_scale = optics.width
        data.type = "ORTHO" if optics.parallel else "PERSP"
        data.shift_x, data.shift_y = optics.shift
        data.clip_start, data.clip_end = optics.near, optics.far
        scene.collection.objects.link(camera)
        scene.camera = camera
        yield camera
    finally:
        bpy.data.objects.remove(camera)
        bpy.data.cameras.remove(data)


def _along(window: Matrix, parallel: bool, side: int) -> float:
    """Return metres along the axis to the clipping plane that `window` maps to `side` (-1: near, 1: far)."""
    slope, offset = window[2][2], window[2][3]
    if parallel:
        return (offset - side) / slope
    return min(_FAR, offset / (slope + side)) if slope != -side else _FAR
