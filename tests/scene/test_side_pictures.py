"""The views of objects as lenses of small pictures: framed whole, the right way round, through cameras too."""
from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector

from blender_sd.core.errors import NeedsWindow, SourceUnusable, TargetUnusable
from blender_sd.core.tasks import SIDES
from blender_sd.scene import side_pictures
from blender_sd.scene.side_pictures import Drawer, clip_matrix, read_solids

FAR_AWAY = Matrix.LocRotScale(Vector((120.0, -40.0, 7.0)), Euler((0.3, 0.2, 1.0)), Vector((0.02, 0.05, 0.03)))


@pytest.fixture
def cube() -> bpy.types.Object:
    bpy.ops.wm.read_factory_settings(use_empty=False)
    return bpy.data.objects["Cube"]


def seen_at(lens, points) -> np.ndarray:
    """Return where points of the world fall in the picture, N×3 in clip space."""
    clip = np.c_[np.array(points, float), np.ones(len(points))] @ clip_matrix(lens).T
    return clip[:, :3] / clip[:, 3:]


@pytest.mark.parametrize("side", SIDES)
def test_a_side_shows_all_of_several_objects_as_large_as_fits(cube, side):
    other = cube.copy()
    bpy.context.scene.collection.objects.link(other)
    cube.matrix_world = FAR_AWAY
    other.matrix_world = Matrix.Translation((0.05, 0.02, 0.0)) @ FAR_AWAY
    bpy.context.view_layer.update()
    corners = [obj.matrix_world @ vertex.co for obj in (cube, other) for vertex in obj.data.vertices]
    spots = seen_at(read_solids([cube, other]).side_lens(side), corners)
    assert 0.85 < np.abs(spots[:, :2]).max() <= 1
    assert np.abs(spots[:, 2]).max() < 1, "between the clipping planes"


@pytest.mark.parametrize("side, right, up, nearer", [
    ("front", (1, 0, 0), (0, 0, 1), (0, -1, 0)), ("right", (0, 1, 0), (0, 0, 1), (1, 0, 0)),
    ("back", (-1, 0, 0), (0, 0, 1), (0, 1, 0)), ("left", (0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    ("top", (1, 0, 0), (0, 1, 0), (0, 0, 1)), ("bottom", (1, 0, 0), (0, -1, 0), (0, 0, -1))])
def test_sides_are_the_right_way_round(cube, side, right, up, nearer):
    lens = read_solids([cube]).side_lens(side)
    middle, *ends = seen_at(lens, [(0, 0, 0), right, up, nearer])
    assert ends[0][0] > middle[0] + 0.1 and ends[1][1] > middle[1] + 0.1 and ends[2][2] < middle[2]


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_a_camera_shows_what_it_renders(cube, kind):
    scene, camera = bpy.context.scene, bpy.context.scene.camera
    camera.data.type, camera.data.ortho_scale, camera.data.shift_x, camera.data.shift_y = kind, 6.0, 0.1, -0.05
    scene.render.resolution_x = scene.render.resolution_y = 192
    solids = read_solids([cube])
    for corner in cube.data.vertices:
        wanted = world_to_camera_view(scene, camera, corner.co)
        spot = seen_at(solids.camera_lens(camera), [corner.co])[0]
        assert np.allclose((spot[:2] + 1) / 2, wanted[:2], atol=1e-4) and abs(spot[2]) < 1


def test_modifiers_count(cube):
    before = len(read_solids([cube]).points)
    cube.modifiers.new("finer", "SUBSURF").levels = 2
    assert len(read_solids([cube]).points) > 4 * before


def test_what_cannot_be_shown_is_said(cube, monkeypatch):
    with pytest.raises(TargetUnusable, match="have no faces"):
        read_solids([])
    bare = bpy.data.objects.new("Bare", bpy.data.meshes.new("Bare"))
    bpy.context.scene.collection.objects.link(bare)
    with pytest.raises(TargetUnusable, match="have no faces"):
        read_solids([bare])
    assert len(read_solids([bare, cube]).parts) == 1
    with pytest.raises(NeedsWindow):
        solids = read_solids([cube])
        Drawer(solids).picture(solids.side_lens("front"))
    monkeypatch.setattr(side_pictures, "_MOST", 11)
    with pytest.raises(SourceUnusable, match="too many faces"):
        read_solids([cube])
    monkeypatch.setattr(side_pictures, "_MOST", 100_000)
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(SourceUnusable, match="Edit Mode"):
        read_solids([cube])
    bpy.ops.object.mode_set(mode="OBJECT")
