"""Masks from what Blender holds: painted images, and the UV area of selected faces."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import TargetUnusable
from blender_sd.scene import raster
from blender_sd.scene.masks import faces_mask


def test_a_triangle_covers_half_of_its_square():
    mask = raster.covered(np.array([[[0, 0], [1, 0], [0, 1]]], np.float32), (64, 32))
    assert mask.shape == (32, 64) and mask.mean() == pytest.approx(0.5, abs=0.05)
    assert mask[-1, 0] and mask[0, 0] and mask[-1, -1] and not mask[0, -1]  # row 0 is on top, v = 0 below
    assert np.array_equal(mask, raster.covered(np.array([[[0, 1], [1, 0], [0, 0]]], np.float32),
                                               (64, 32))), "either winding"


def test_uvs_beyond_the_image_repeat():
    square = np.array([[[0.25, 0.25], [0.5, 0.25], [0.5, 0.5]], [[0.25, 0.25], [0.5, 0.5], [0.25, 0.5]]], np.float32)
    mask = raster.covered(square, (32, 32))
    assert np.array_equal(mask, raster.covered(square + (3, -2), (32, 32)))
    assert mask[16:24, 8:16].all() and mask.sum() <= 10 * 10
    across = raster.covered(square + (0.65, 0), (32, 32))
    assert across[20, 31] and across[20, 2] and not across[20, 16]
    assert raster.covered(square * 1000, (32, 32)).all()
    assert not raster.covered(np.full((1, 3, 2), np.nan, np.float32), (32, 32)).any()
    assert raster.covered(np.zeros((1, 3, 2), np.float32) + 0.5, (32, 32)).sum() >= 1, "a face without area still shows"


@pytest.fixture
def plane():
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=2, y_subdivisions=2)  # four faces, each a quarter of the UV square
    return bpy.context.object


def test_selected_faces_become_white(plane):
    for polygon in plane.data.polygons:
        polygon.select = polygon.center.x > 0 and polygon.center.y > 0
    pixels = faces_mask(plane, (40, 40))().pixels
    assert pixels.shape == (40, 40, 4) and (pixels[2:18, 22:38, :3] == 255).all()
    assert pixels[..., 0].mean() == pytest.approx(255 / 4, rel=0.2)


def test_edit_mode_counts(plane):
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    assert (faces_mask(plane, (16, 16))().pixels[..., 0] == 255).all()
    bpy.ops.mesh.select_all(action="DESELECT")
    with pytest.raises(TargetUnusable, match="No face"):
        faces_mask(plane, (16, 16))
    bpy.ops.object.mode_set(mode="OBJECT")


def test_without_a_mesh_or_uvs(plane):
    with pytest.raises(TargetUnusable, match="mesh"):
        faces_mask(None, (16, 16))
    plane.data.uv_layers.remove(plane.data.uv_layers[0])
    with pytest.raises(TargetUnusable, match="UV"):
        faces_mask(plane, (16, 16))


def test_arrays_are_masks():
    mask = np.zeros((20, 30), bool)
    mask[:5] = True
    source = scene.open_mask(mask, (30, 20))
    assert np.array_equal(source.pixels[..., 0] == 255, mask)
    assert (scene.open_mask(mask.astype(np.float32) * 0.5, (30, 20)).pixels[0, 0, :3] == 128).all()
