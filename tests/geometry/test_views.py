"""Cameras: what a pixel sees and where a point appears agree, whatever the lens."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.meshes import camera, cube, mesh, plane

from blender_sd.geometry.surface import OCCLUDER, Surface
from blender_sd.geometry.views import NOTHING, cast, edge_distance, hits_of


@pytest.mark.parametrize("perspective", [True, False])
def test_a_point_is_seen_by_the_pixel_whose_ray_meets_it(perspective):
    view = camera((3, -4, 2), perspective=perspective)
    view = replace(view, centre=(view.centre[0] + 40, view.centre[1] - 25), scale=(view.scale[0], view.scale[1] * 1.3))
    columns, rows = np.array([0, 100, 255.0]), np.array([0, 50, 255.0])
    origins, directions = view.rays(columns, rows)
    local = view.camera_points(origins + directions * 2.5)
    x, y = view.pixels(local)
    assert np.allclose(x, columns + 0.5) and np.allclose(y, rows + 0.5)
    assert np.allclose(local[:, 2], 2.5)


@pytest.mark.parametrize("perspective", [True, False])
def test_depths_are_those_of_the_plane(perspective):
    surface = Surface(mesh(plane()))
    view = camera((0.3, 0.2, 3), (0.3, 0.2, 0), perspective=perspective).in_box(surface)
    hits = hits_of(surface, view, cast(surface, view))
    seen = hits.regions >= 0
    assert seen.any() and np.allclose(hits.depth[seen], 3, atol=1e-6)
    assert not seen[0].any() and not seen[:, -1].any()  # the border of one pixel


def test_the_back_of_a_face_is_nothing_to_read():
    surface = Surface(mesh(plane()))
    view = camera((0, 0.1, -3)).in_box(surface)
    hits = hits_of(surface, view, cast(surface, view))
    assert (hits.triangles >= 0).any() and (hits.regions == NOTHING).all()
    assert hits.backs == np.count_nonzero(hits.triangles >= 0)


def test_what_lies_before_the_near_or_behind_the_far_plane_is_not_in_the_picture():
    surface = Surface(mesh(plane(), plane(0.5, 1.0), textures=(0, OCCLUDER)))
    view = camera((0, 0.01, 3))
    middle = view.height // 2
    assert surface.textures[cast(surface, view.in_box(surface))[middle, middle]] == OCCLUDER
    cut = replace(view, near=2.5)
    assert surface.textures[cast(surface, cut.in_box(surface))[middle, middle]] == 0


def test_edges_are_silhouettes_folds_and_other_objects():
    surface = Surface(mesh(cube(), cube((0, 0, 3), 0.5)))
    view = camera((0, -8, 1), (0, 0, 1)).in_box(surface)
    edges = edge_distance(hits_of(surface, view, cast(surface, view)), view)
    assert edges[0, 0] == 0
    inside = edges[edges > 0]
    assert inside.min() == 1 and inside.max() > 15


def test_a_camera_inside_an_object_sees_only_backs():
    surface = Surface(mesh(cube()))
    view = camera((0, 0.1, 0), (1, 0.1, 0)).in_box(surface)
    hits = hits_of(surface, view, cast(surface, view))
    assert (hits.regions == NOTHING).all()
