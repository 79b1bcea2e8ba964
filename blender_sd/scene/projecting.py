"""The views that pictures are projected from, and the objects in them."""
from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import bpy
import numpy as np

from ..core.errors import SourceUnusable, TargetUnusable
from ..protocol.messages import Source
from ..protocol.surfaces import Lens
from . import frames, geometry
from .baking import Plan, check
from .lenses import camera_lens, view_lens
from .surfaces import Surface
from .triangles import Placed
from .viewport import viewport_view


def bakeable(shown: Collection[bpy.types.Object]) -> list[bpy.types.Object]:
    """Return the meshes of `shown` that pictures can be baked onto: the selected ones, or all if none is selected."""
    meshes = []
    for obj in shown:
        try:
            check(obj)
        except TargetUnusable:
            continue
        meshes.append(obj)
    return [obj for obj in meshes if obj.select_get()] or meshes


@contextmanager
def through(view: object) -> Iterator[bpy.types.Object | None]:
    """Return a context in which the scene's camera is the one that `view` names; it gets that camera, None for the 3D
    View.

    Args:
        view: "VIEWPORT", "CAMERA" or a camera object.

    Raises:
        SourceUnusable: It is anything else, or there is no camera.
    """
    scene = bpy.context.scene
    if view == "VIEWPORT":
        yield None
    elif view == "CAMERA":
        yield frames.camera_of(scene)
    elif isinstance(view, bpy.types.Object) and view.type == "CAMERA":
        before, scene.camera = scene.camera, view
        try:
            yield view
        finally:
            scene.camera = before
    else:
        raise SourceUnusable("This view cannot be projected from.",
                             'Give "VIEWPORT", "CAMERA" or a camera object.')


def from_view(size: tuple[int, int]) -> tuple[Lens, tuple[bpy.types.Object, ...]]:
    """Return the lens of the 3D View whose picture has `size`, and the objects in it. Raise NeedsWindow."""
    view = viewport_view(bpy.context, size[0] / size[1])
    return view_lens(view.optics, size), view.objects


def from_camera(camera: bpy.types.Object, size: tuple[int, int]) -> tuple[Lens, tuple[bpy.types.Object, ...]]:
    """Return the lens of a camera whose picture has `size`, and the objects that renders show. Raise SourceUnusable."""
    layer = bpy.context.view_layer
    shown = tuple(obj for obj in layer.objects if not obj.hide_render and obj.visible_get(view_layer=layer))
    return cameras_of([camera], [size])[0], shown


def cameras_of(given: Sequence[bpy.types.Object], sizes: Sequence[tuple[int, int]]) -> list[Lens]:
    """Return the lenses of camera objects whose pictures have `sizes`. Raise SourceUnusable for other lenses."""
    graph = bpy.context.evaluated_depsgraph_get()
    return [camera_lens(camera, bpy.context.scene, graph, size) for camera, size in zip(given, sizes, strict=True)]


def object_mask(objects: Collection[bpy.types.Object], size: tuple[int, int], camera: bpy.types.Object | None
                ) -> Source:
    """Return where `objects` are seen, white on black: by the scene's camera, or by the 3D View if there is none.

    Renders now, with one sample for each pixel.

    Args:
        objects: The objects.
        size: (width, height) of the picture in pixels.
        camera: The scene's camera; None for the 3D View.

    Raises:
        SourceUnusable: None of them is seen.
        NeedsWindow: There is no 3D View.
    """
    view = viewport_view(bpy.context, size[0] / size[1]) if camera is None else None
    seen = geometry.look(bpy.context.scene, size, view).objects
    numbers = np.array([geometry.number_of(obj) for obj in objects], np.float32)
    shown = np.isin(seen, numbers)
    if not shown.any():
        raise SourceUnusable("None of the objects is seen.", "Turn the view to them, and move away what hides them.")
    pixels = np.full((*shown.shape, 4), 255, np.uint8)
    pixels[~shown, :3] = 0
    return Source(pixels=pixels)


def preview_faces(plan: Plan, lens: Lens) -> list[Surface]:
    """Return the faces that a picture through `lens` is seen on, with its pixels as UVs.

    Faces that look away are left out. Large triangles are divided, since UVs run evenly over a triangle and a
    perspective view does not.
    """
    return [surface for placed in plan.targets() if (surface := _seen_faces(placed, lens)) is not None]


_LONGEST = 1 / 12  # of the picture: longer triangles are divided
_ROUNDS = 4
_MOST = 100_000  # triangles of an object that a preview is drawn on


def _seen_faces(placed: Placed, lens: Lens) -> Surface | None:
    shape = placed.shape
    corners = shape.vertices[shape.corners[shape.loops]].astype(np.float64)
    if len(corners) > _MOST:
        return None
    local = _through_lens(corners, placed.matrix, lens)
    away = np.cross(local[:, 1] - local[:, 0], local[:, 2] - local[:, 0])
    towards = local[:, 0] if lens.perspective else np.array([0.0, 0.0, 1.0])
    mirrored = np.linalg.det(placed.matrix[:3, :3]) < 0
    # Axes that point right, up and forward are left-handed: an outward normal then points inwards.
    facing = ((away * towards).sum(1) > 0) != mirrored
    corners = corners[facing & (local[..., 2] > lens.near).all(1)]
    for _ in range(_ROUNDS):
        uv = _pixels(_through_lens(corners, placed.matrix, lens), lens)
        within = ((uv.max(1) >= 0) & (uv.min(1) <= 1)).all(1)  # close up, most of an object is outside of the picture
        corners, uv = corners[within], uv[within]
        long = np.ptp(uv, axis=1).max(1) > _LONGEST
        corners = np.concatenate([corners[~long], _quartered(corners[long])])
    uv = _pixels(_through_lens(corners, placed.matrix, lens), lens)
    inside = ((uv >= 0) & (uv <= 1)).all((1, 2))
    if not inside.any():
        return None
    corners, uv = corners[inside], uv[inside]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return Surface(placed.owner, corners.reshape(-1, 3).astype(np.float32), uv.reshape(-1, 2).astype(np.float32),
                   np.repeat(normals, 3, axis=0).astype(np.float32))


def _through_lens(corners: np.ndarray, matrix: np.ndarray, lens: Lens) -> np.ndarray:
    """Return T×3×3 corners as right, up and depth."""
    world = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return (world - lens.origin) @ np.reshape(lens.axes, (3, 3)).T


def _pixels(local: np.ndarray, lens: Lens) -> np.ndarray:
    """Return the shares of the picture (T×3×2, v upwards) at which points are seen."""
    depth = local[..., 2] if lens.perspective else 1.0
    return np.stack([(local[..., 0] / depth * lens.scale_x + lens.centre_x) / lens.width,
                     1 - (lens.centre_y - local[..., 1] / depth * lens.scale_y) / lens.height], -1)


def _quartered(corners: np.ndarray) -> np.ndarray:
    """Return triangles (T×3×3) divided into four each."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(part, 1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
