"""A view's matrices as a camera: points fall where they did, for each kind of projection, and the scene is left as it
was."""
from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Vector

from benches import control as bench

from blender_sd.core.errors import NeedsWindow
from blender_sd.scene import control, geometry
from blender_sd.scene.views import View, as_camera, optics_of

REGION = (900, 500)  # pixels of the 3D View
POINTS = [Vector(point) for point in np.random.default_rng(3).uniform(-1, 1, (60, 3))]
FOCUS = Matrix.Translation((0.3, -0.2, 0.1)) @ Euler((1.1, 0.2, 0.7)).to_matrix().to_4x4()


def perspective(left, right, bottom, top, near, far) -> Matrix:
    """OpenGL's glFrustum."""
    return Matrix(((2 * near / (right - left), 0, (right + left) / (right - left), 0),
                   (0, 2 * near / (top - bottom), (top + bottom) / (top - bottom), 0),
                   (0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)), (0, 0, -1, 0)))


def parallel(left, right, bottom, top, near, far) -> Matrix:
    """OpenGL's glOrtho."""
    return Matrix(((2 / (right - left), 0, 0, -(right + left) / (right - left)),
                   (0, 2 / (top - bottom), 0, -(top + bottom) / (top - bottom)),
                   (0, 0, -2 / (far - near), -(far + near) / (far - near)), (0, 0, 0, 1)))


VIEWS = {  # (view matrix, window matrix)
    "perspective": ((FOCUS @ Matrix.Translation((0, 0, 6))).inverted(), perspective(-0.072, 0.072, -0.04, 0.04, 0.1, 100)),  # noqa: E501
    "wide": ((FOCUS @ Matrix.Translation((0, 0, 2))).inverted(), perspective(-2.7, 2.7, -1.5, 1.5, 0.03, 100)),
    "shifted": ((FOCUS @ Matrix.Translation((0, 0, 6))).inverted(), perspective(-0.02, 0.07, 0.0, 0.05, 0.1, 100)),
    "zoomed": ((FOCUS @ Matrix.Translation((0, 0, 6))).inverted(), perspective(0.0200, 0.0209, 0.0100, 0.0105, 0.1, 100)),  # noqa: E501
    "orthographic": (FOCUS.inverted(), parallel(-2.7, 2.7, -1.5, 1.5, -500, 500)),
    "orthographic, shifted": (FOCUS.inverted(), parallel(-1.0, 2.6, -1.5, 0.5, -500, 500)),
    "orthographic "
    "camera": ((FOCUS @ Matrix.Translation((0, 0, 6))).inverted(), parallel(-2.7, 2.7, -1.5, 1.5, 0.1, 100)),
}


def seen_at(view: Matrix, window: Matrix, size: tuple[float, float]) -> np.ndarray:
    """N×2 pixels, from the lower left corner, at which POINTS are seen."""
    clip = [window @ view @ point.to_4d() for point in POINTS]
    return np.array([((point.x / point.w + 1) / 2 * size[0], (point.y / point.w + 1) / 2 * size[1]) for point in clip])


def through_camera(optics, size: tuple[int, int]) -> np.ndarray:
    """The same through Blender's own camera."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = *size, 100
    with as_camera(optics, scene) as camera:
        bpy.context.view_layer.update()
        window = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=size[0], y=size[1])
        return seen_at(camera.matrix_world.inverted(), window, size)


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.mark.parametrize("name", VIEWS)
def test_points_are_seen_where_the_view_shows_them(name):
    view, window = VIEWS[name]
    error = np.abs(
        through_camera(optics_of(view, window, REGION[0] / REGION[1]), REGION) - seen_at(view, window, REGION))
    assert error.max() < 0.5, error.max()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("size", "scale"), [((512, 512), 512 / 500), ((900, 300), 1.0)])
def test_a_picture_of_another_aspect_shows_the_middle(name, size, scale):
    view, window = VIEWS[name]
    wanted = (seen_at(view, window, REGION) - np.array(REGION) / 2) * scale + np.array(size) / 2
    assert np.abs(through_camera(optics_of(view, window, size[0] / size[1]), size) - wanted).max() < 0.5


@pytest.mark.parametrize("name", VIEWS)
def test_a_part_of_a_view(name):
    view, window = VIEWS[name]
    optics = optics_of(view, window, 600 / 400, (100 / 900, 50 / 500, 700 / 900, 450 / 500))
    assert np.abs(through_camera(optics, (600, 400)) - (seen_at(view, window, REGION) - (100, 50))).max() < 0.5


@pytest.mark.parametrize(("name", "limits"), [
    ("perspective", (0.1, 100)), ("orthographic camera", (0.1, 100)), ("orthographic", (0.01, 1000.01))])
def test_the_clipping_planes(name, limits):
    optics = optics_of(*VIEWS[name], 1.8)
    assert (optics.near, optics.far) == (pytest.approx(limits[0], rel=0.01), pytest.approx(limits[1], rel=0.01))


def view_of_camera(scene, size, objects=None) -> View:
    window = scene.camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=size[0], y=size[1])
    return View(scene, scene.view_layers[0].name,
                optics_of(scene.camera.matrix_world.inverted(), window, size[0] / size[1]),
                tuple(scene.objects) if objects is None else objects)


def test_a_view_through_the_camera_is_what_the_camera_sees():
    scene, size = bench.build(bpy), (160, 120)
    scene.camera.data.shift_x, scene.camera.data.shift_y = 0.2, -0.1
    bpy.context.view_layer.update()
    seen, shown = geometry.look(scene, size), geometry.look(scene, size, view_of_camera(scene, size))
    same = seen.objects == shown.objects
    assert same.mean() > 0.999
    assert np.abs(seen.depth / shown.depth - 1)[same].max() < 1e-3
    assert np.abs(seen.normals - shown.normals)[same].max() < 0.02


def test_only_what_the_view_shows_is_drawn_and_no_trace_stays():
    scene = bench.build(bpy)
    hidden = bpy.data.collections.new("Hidden")
    scene.collection.children.link(hidden)
    sphere = next(thing for thing in scene.objects if "Sphere" in thing.name)
    hidden.objects.link(sphere)
    scene.render.pixel_aspect_x = 2.0
    shown = tuple(thing for thing in scene.objects if thing != sphere)
    before = {
        kind: set(getattr(bpy.data, kind).keys())
        for kind in ("scenes", "objects", "cameras", "collections", "materials")}
    inside, camera, selected = set(scene.objects), scene.camera, set(bpy.context.selected_objects)
    pictures = [
        control.control_source("segmentation", scene, (64, 48), view_of_camera(scene, (64, 48), objects))().pixels
        for objects in (tuple(scene.objects), shown)]
    assert [len(np.unique(picture.reshape(-1, 4), axis=0)) for picture in pictures] == [3, 2]
    assert before == {kind: set(getattr(bpy.data, kind).keys()) for kind in before}
    assert set(scene.objects) == inside and set(hidden.objects) == {sphere} and scene.camera == camera
    assert set(bpy.context.selected_objects) == selected and scene.render.pixel_aspect_x == 2.0


def test_distances_of_a_parallel_view_begin_near_what_is_seen():
    """Else things a metre apart would be one grey, and no line would part them: such a view reaches far behind its
    origin."""
    scene = bench.build(bpy)
    optics = optics_of(scene.camera.matrix_world.inverted(), parallel(-2.0, 2.0, -1.5, 1.5, -500, 500), 4 / 3)
    depth = geometry.look(scene, (64, 48), View(scene, scene.view_layers[0].name, optics, tuple(scene.objects))).depth
    # as far away as the picture is wide: the sphere's front, or the floor's edge
    assert depth.min() == pytest.approx(4.0, abs=1e-3)
    assert np.isfinite(depth).any() and depth[np.isfinite(depth)].max() < 4 + bench.WALL + 500


def test_without_a_window_the_view_cannot_be_a_control():
    with pytest.raises(NeedsWindow):
        control.open_control("depth", "VIEWPORT", (64, 64))
