"""The texel table: every texel of an island once, exact in double, also where UVs overlap or repeat."""
from __future__ import annotations

import numpy as np
import pytest

from tests.support.meshes import cube, mesh, plane, sphere

from blender_sd.core.errors import JobCancelled, SourceUnusable
from blender_sd.geometry.sheets import Layout, Sheet
from blender_sd.geometry.surface import Mesh, Surface
from blender_sd.geometry.texels import table


def texels_of(part, *sheets, size=64, **mesh_options):
    surface = Surface(mesh(part, **mesh_options))
    return table(Layout(surface, sheets or (Sheet(0, size, size),)))


def test_a_plane_that_fills_its_image_has_every_texel_once_at_the_right_place():
    vertices, triangles, uv = plane()
    texels = texels_of((vertices, triangles, (uv - 0.02) / 0.96))
    assert texels.inside.sum() == 64 * 64 and texels.overlapping == 0
    _, row, column = texels.places()
    expected = np.stack([(column + 0.5) / 32 - 1, 1 - (row + 0.5) / 32, np.zeros(len(row))], 1)
    assert np.abs(texels.points - expected)[texels.inside].max() < 1e-6
    assert np.allclose(texels.normals, [0, 0, 1])


def test_the_table_is_conservative_by_one_texel_even_where_no_centre_is_covered():
    vertices, triangles, uv = plane()
    thin = np.stack([uv[..., 0], 0.5 + uv[..., 1] * 0.001], -1)  # a sixteenth of a texel high
    texels = texels_of((vertices, triangles, thin))
    assert len(texels.texel) and len(np.unique(texels.texel)) == texels.count
    _, row, _ = texels.places()
    assert set(row.tolist()) <= {30, 31, 32, 33} and {31, 32} & set(row.tolist())


def test_texels_beyond_a_seam_show_the_surface_on_its_other_side():
    texels = texels_of(sphere(), size=256)
    ring = ~texels.inside
    radius = np.linalg.norm(texels.points, axis=1)
    assert ring.sum() > 400 and np.abs(radius[ring] - 1).max() < 0.02
    _, row, column = texels.places()
    left, right = ring & (column < 8), ring & (column > 248)
    middle = slice(64, 192)
    assert left.sum() and right.sum()
    # u = 0 and u = 1 meet at y = 0: texels left of the island lie before it, those on the right behind it.
    assert texels.points[left & np.isin(row, np.arange(256)[middle]), 1].max() < 0
    assert texels.points[right & np.isin(row, np.arange(256)[middle]), 1].min() > 0


def test_overlapping_triangles_all_keep_their_texels():
    points, faces, uv = plane()
    other = points + [0, 0, 1]
    both = np.concatenate([points, other]), np.concatenate([faces, faces + 4]), np.concatenate([uv, uv])
    texels = texels_of(both, Sheet(0, 64, 60))
    inside = texels.inside.sum()
    assert texels.overlapping * 2 == inside and inside > 2 * 0.9 * 64 * 60
    heights = texels.points[texels.inside, 2]
    assert np.isclose(heights, heights.min()).sum() == np.isclose(heights, heights.max()).sum()


def test_neighbours_are_no_overlap():
    assert texels_of(plane(cells=17), size=128).overlapping == 0
    assert texels_of(cube(), size=128).overlapping == 0


def test_uvs_that_leave_the_image_repeat_it():
    vertices, triangles, uv = plane()
    texels = texels_of((vertices, triangles, (uv - 0.02) / 0.96 * [2, 1] + [3, -5]))
    assert texels.inside.sum() == 2 * 64 * 64 and texels.overlapping == 64 * 64


def test_udim_tiles_take_only_their_own_part():
    vertices, triangles, uv = plane()
    wide = (uv - 0.02) / 0.96 * [2, 1]
    texels = texels_of((vertices, triangles, wide), Sheet(0, 32, 32, (0, 0)), Sheet(0, 64, 64, (1, 0)))
    sheet, _, _ = texels.places()
    assert texels.overlapping == 0
    assert (texels.inside & (sheet == 0)).sum() == 32 * 32 and (texels.inside & (sheet == 1)).sum() == 64 * 64
    x = texels.points[:, 0]
    assert x[texels.inside & (sheet == 0)].max() < 0 < x[texels.inside & (sheet == 1)].min()


def test_uvs_without_an_area_cover_nothing():
    vertices, triangles, uv = plane()
    texels = texels_of((vertices, triangles, np.full_like(uv, 0.5)))
    assert texels.inside.sum() == 0


def test_bad_meshes_are_refused_in_words():
    vertices, triangles, uv = plane()
    with pytest.raises(SourceUnusable, match="no faces"):
        Surface(Mesh(np.empty((0, 3)), np.empty((0, 3), int), np.empty((0, 3, 2)), np.empty(0, int), np.empty(0, int)))
    broken = vertices.copy()
    broken[0, 0] = np.nan
    with pytest.raises(SourceUnusable, match="not a finite number"):
        Surface(mesh((broken, triangles, uv)))
    for scale in ((0, 0, 0), (1, 0, 0)):
        with pytest.raises(SourceUnusable, match="no area"):
            Surface(mesh((vertices * scale, triangles, uv)))
    with pytest.raises(SourceUnusable, match="repeat the image too often"):
        texels_of((vertices, triangles, uv * 1e5))


def test_the_table_can_be_cancelled():
    with pytest.raises(JobCancelled):
        table(Layout(Surface(mesh(plane())), (Sheet(0, 64, 64),)), lambda: True)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_unit_box_does_not_depend_on_scale_nor_on_what_is_only_in_the_way(scale):
    part = cube((5, 5, 5), 2.0)
    floor = plane(1e4)
    both = mesh((part[0] * scale, *part[1:]), (floor[0] * scale, *floor[1:]), textures=(0, -1))
    surface = Surface(both)
    used = surface.vertices[surface.triangles[surface.textures == 0]]
    assert np.allclose([used.min(), used.max()], [-1, 1])
    assert np.isclose(surface.scale, 2 * scale) and np.allclose(surface.centre, 5 * scale)
