"""A view as a camera: from the two matrices that a 3D View is drawn with, a camera whose render shows the same, point for point.

Both matrices are OpenGL's: from the world into the view's space (x right, y up, -z ahead), and from there to the region's clip
space, where x and y run from -1 to 1 between its borders (https://docs.blender.org/api/current/bpy.types.RegionView3D.html).
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
from mathutils import Matrix

_SENSOR = 36.0  # millimetres; a lens must have 1 at least, so that very wide views need a wider one
_NEAR = 0.01  # metres before which a camera is never made to cut things off
_FAR = 1e9


@dataclass(frozen=True)
class Optics:
    """A camera in numbers. `place`: its world matrix. `width`: of the picture, at a distance of 1 (in a `parallel` projection:
    at any), in metres. `shift`: how far the picture's middle lies right of and above the axis, in widths. `near`, `far`:
    metres along the axis between which things are seen."""

    place: Matrix
    parallel: bool
    width: float
    shift: tuple[float, float]
    near: float
    far: float


@dataclass(frozen=True)
class View:
    """What a 3D View looks at and how: `objects` are those of the `scene` that it shows, in the view layer of that name."""

    scene: bpy.types.Scene
    layer: str
    optics: Optics
    objects: tuple[bpy.types.Object, ...]


def optics_of(view: Matrix, window: Matrix, aspect: float, part: Sequence[float] = (0.0, 0.0, 1.0, 1.0)) -> Optics:
    """The camera that sees what a region drawn with the matrices `view` and `window` shows in `part` of it (left, bottom, right,
    top; shares of its sides), in a picture of `aspect` (width to height). Where that is another than the part's, its middle is seen.
    """
    parallel = window[3][3] != 0
    edges = [(2 * share - 1 + (-window[axis][3] if parallel else window[axis][2])) / window[axis][axis]
             for share, axis in zip(part, (0, 1, 0, 1), strict=True)]
    across, up = edges[2] - edges[0], edges[3] - edges[1]
    width = min(across, up * aspect)
    middle = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    near, far = (_along(window, parallel, side) for side in (-1, 1))
    back = max(0.0, _NEAR - near) if parallel else 0.0  # a parallel view shows what lies behind its origin, too
    return Optics(view.inverted() @ Matrix.Translation((0, 0, back)), parallel, width, (middle[0] / width, middle[1] / width),
                  near + back, far + back)


@contextmanager
def as_camera(optics: Optics, scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """`scene` with a camera of these `optics`, for pictures with square pixels; taken away at the end, and the scene has none then."""
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
    """Metres along the axis to the clipping plane that `window` maps to `side` (-1: near, 1: far)."""
    slope, offset = window[2][2], window[2][3]
    if parallel:
        return (offset - side) / slope
    return min(_FAR, offset / (slope + side)) if slope != -side else _FAR
