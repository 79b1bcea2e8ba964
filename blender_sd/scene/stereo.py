"""Scenes that render several views: the two eyes of a stereoscopic one, or Multi-View with cameras of its own."""
from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from mathutils import Matrix

from ..core.errors import SourceUnusable
from . import compat, frames
from .control_scene import still_camera

_EYES = ("left", "right")  # as Blender calls them


def views_of(scene: bpy.types.Scene) -> tuple[str, ...]:
    """Return the names of the views that a render of `scene` has; () for a plain render."""
    render = scene.render
    if not render.use_multiview:
        return ()
    return tuple(view.name for view in render.views if view.use and (
        render.views_format == "MULTIVIEW" or view.name in _EYES))


def endings_of(scene: bpy.types.Scene) -> tuple[str, ...]:
    """Return how the files of each view of `scene` end: ("_L", "_R"); Blender adds nothing where only one is rendered.

    Raises SourceUnusable where two views would have the same files, or an ending is no part of a file's name.
    """
    views = views_of(scene)
    if len(views) < 2:
        return ("",) * len(views)
    endings = tuple(scene.render.views[view].file_suffix for view in views)
    if len(set(endings)) < len(endings) or any(ending[:1].isdigit() or set(ending) & set('/\\:*?"<>|')
                                               for ending in endings):
        raise SourceUnusable("The files of the scene's views cannot be told apart.",
                             "Give each view a suffix of its own in Output ▸ Stereoscopy, such as _L and _R.")
    return endings


@contextmanager
def only(scene: bpy.types.Scene, view: str) -> Iterator[None]:
    """Return a context in which a render of `scene` has just one view, by its name; "" for a plain render."""
    render = scene.render
    multiview, used = render.use_multiview, [(other, other.use) for other in render.views]
    try:
        render.use_multiview = bool(view)
        for other, _ in used if view else ():
            other.use = other.name == view
        yield
    finally:
        render.use_multiview = multiview
        for other, use in used:
            other.use = use


@contextmanager
def through(scene: bpy.types.Scene, view: str) -> Iterator[None]:
    """Return a context in which `scene` has a camera that stands still where a view of the current frame is seen from.

    It takes the picture that Blender renders of the view, for all that looks at the scene through a camera. With "", it
    is the scene's own camera.

    Raises:
        SourceUnusable: There is no camera, or the eye has no place of its own (Spherical Stereo).
    """
    if not view:
        yield
        return
    made: list[bpy.types.ID] = []
    own, bound = scene.camera, [(marker, marker.camera) for marker in scene.timeline_markers
                                if marker.camera is not None]
    try:
        eye = _eye(scene, view, made)
        for marker, _ in bound:
            marker.camera = None
        scene.camera = eye
        yield
    finally:
        scene.camera = own
        for marker, camera in bound:
            marker.camera = camera
        bpy.data.batch_remove(made)


# ---- inside --------------------------------------------------------------------------------------------------------


def _eye(scene: bpy.types.Scene, view: str, made: list[bpy.types.ID]) -> bpy.types.Object:
    """Return a new camera for a view. Append to `made` what has to be removed with it."""
    eyes = scene.render.views_format == "STEREO_3D"
    seen_by = frames.camera_of(scene)
    seen_by = seen_by if eyes else _named(seen_by, scene, view)
    place = compat.evaluated(seen_by, scene).matrix_world.normalized()
    camera = still_camera(seen_by, scene, made)
    camera.animation_data_clear()
    camera.constraints.clear()
    camera.parent = None
    camera.matrix_parent_inverse = Matrix()
    if eyes and seen_by.type == "CAMERA":
        stereo = camera.data.stereo
        if stereo.use_spherical_stereo and camera.data.type != "ORTHO" and scene.render.engine == "CYCLES":
            raise SourceUnusable(f"The camera '{seen_by.name}' is panoramic for each eye (Spherical Stereo), and its "
                                 "picture cannot be projected.",
                                 "Switch off Spherical Stereo, or set Motion to Optical Flow.")
        place = place @ _aside(camera.data, view)
    camera.matrix_world = place
    return camera


def _named(camera: bpy.types.Object, scene: bpy.types.Scene, view: str) -> bpy.types.Object:
    """Return the camera of a view by its name's ending, as Blender looks for it; `camera` if there is none."""
    endings = [other.camera_suffix for other in scene.render.views if camera.name.endswith(other.camera_suffix)]
    if not endings:
        return camera
    name = camera.name.removesuffix(max(endings, key=len)) + scene.render.views[view].camera_suffix
    return scene.objects.get(name, camera)


def _aside(data: bpy.types.Camera, view: str) -> Matrix:
    """Return the place of an eye as seen from the camera, and shift its lens; as Blender does (`camera.cc`)."""
    stereo, side = data.stereo, -1 if view == "left" else 1
    if stereo.pivot == view.upper():
        return Matrix()
    share = 0.5 if stereo.pivot == "CENTER" else 1.0
    way = Matrix.Translation((side * share * stereo.interocular_distance, 0, 0))
    if stereo.convergence_mode == "OFFAXIS":
        data.shift_x -= (side * share * stereo.interocular_distance / data.sensor_width
                         * data.lens / stereo.convergence_distance)
    if stereo.convergence_mode != "TOE":
        return way
    turn = Matrix.Rotation(side * math.atan(stereo.interocular_distance / 2 / stereo.convergence_distance), 4, "Y")
    return way @ turn if stereo.pivot == "CENTER" else turn @ way @ turn
