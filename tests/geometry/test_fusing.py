"""Fusing maps of views: known relief comes back in the tangents of the UVs, outliers do not, metal by material."""
from __future__ import annotations

import numpy as np
import pytest

from tests.support.meshes import around, camera, cube, mesh, plane, sphere

from blender_sd.geometry.bake import Settings
from blender_sd.geometry.fusing import MapBaker, ViewMaps, tangents, weighted_median
from blender_sd.geometry.sheets import Sheet
from blender_sd.geometry.surface import Surface
from blender_sd.geometry.views import cast

POINTS = Settings(soft=0)


def maps(view, slope=(0.0, 0.0), base=0.5, roughness=0.3, metallic=0.0) -> ViewMaps:
    """The maps of a view, the same everywhere."""
    size = view.height, view.width
    return ViewMaps(np.full((*size, 4), [base, base, base, 1], np.float32), np.full((*size, 2), slope, np.float32),
                    np.full(size, roughness, np.float32), np.full(size, metallic, np.float32))


def fused(surface, views, given, size=64, settings=POINTS):
    textures = sorted(set(surface.textures.tolist()) - {-1})
    baker = MapBaker(surface, [Sheet(number, size, size) for number in textures], settings)
    return baker.fuse(views, given)[0]


def turned(part, matrix):
    points, triangles, uv = part
    return points, triangles, (uv - 0.5) @ np.array(matrix, float).T + 0.5


@pytest.mark.parametrize(("turn", "expected"), [
    (((1, 0), (0, 1)), (-0.3, 0.2)),  # u rightwards, v upwards in the picture: rising rightwards leans left
    (((0, 1), (-1, 0)), (0.2, 0.3)),
    (((-1, 0), (0, 1)), (0.3, 0.2)),
])
def test_slopes_of_a_view_lean_in_the_tangents_of_the_uvs(turn, expected):
    surface = Surface(mesh(turned(plane(), turn)))
    view = camera((0, 0, 5), perspective=False)
    world = np.array([0.3, -0.2, 0.0])  # the height grows towards +x and -y
    slope = world @ view.axes[0], -(world @ view.axes[1])
    normal = fused(surface, [view], [maps(view, slope)])[0].normal
    middle = normal[20:44, 20:44].reshape(-1, 3).mean(0)
    length = np.sqrt(1 + 0.3**2 + 0.2**2)
    assert middle == pytest.approx(np.array([*expected, 1]) / length, abs=1e-4)


def test_a_surface_seen_at_an_angle_has_its_own_slope():
    """What is foreshortened looks steeper than it is."""
    surface = Surface(mesh(plane()))
    straight, tilted = camera((0, 0, 5), perspective=False), camera((0, -4, 3), perspective=False)
    world = np.array([0.0, 0.25, 0.0])
    results = []
    for view in (straight, tilted):
        tangent = np.array([0.0, 1.0, 0.0])
        seen = view.axes @ tangent  # a step along the surface, in the picture
        along_up = 0.25 / seen[1]  # pixels of height for a pixel upwards
        results.append(fused(surface, [view], [maps(view, (0.0, -along_up))])[0].normal[28:36, 28:36].mean((0, 1)))
    flat = np.array([0, -0.25, 1]) / np.linalg.norm([0, world[1], 1])
    assert results[0] == pytest.approx(flat, abs=1e-4)
    assert results[1] == pytest.approx(flat, abs=1e-3)


def test_flat_views_give_the_mesh_its_own_normals():
    surface = Surface(mesh(sphere()))
    views = around()
    result = fused(surface, views, [maps(view) for view in views])[0]
    assert np.abs(result.normal - [0, 0, 1]).max() < 1e-5
    assert np.abs(result.roughness[result.base.set] - 0.3).max() < 1e-5
    assert np.abs(result.base.colours[result.base.set] - 0.5).max() < 1e-4


def test_a_view_that_errs_does_not_count():
    """The median of three views is that of the two that agree; the mean would lie between."""
    surface = Surface(mesh(plane()))
    views = [camera((x, 0, 5)) for x in (-0.5, 0.0, 0.5)]
    given = [maps(views[0], roughness=0.3), maps(views[1], roughness=0.3), maps(views[2], roughness=0.9)]
    result = fused(surface, views, given)[0]
    inner = result.roughness[16:48, 16:48]
    assert np.abs(inner - 0.3).max() < 0.05


def test_metal_is_decided_for_each_material():
    surface = Surface(mesh(cube(), cube((4, 0, 0))))
    views = around(distance=16)
    given = []
    for view in views:
        item = maps(view, metallic=0.0)
        boxed = view.in_box(surface)
        triangles = cast(surface, boxed)
        metal = np.where((triangles >= 0) & (surface.textures[triangles] == 1), 0.8, 0.1).astype(np.float32)
        metal[::7] = 0.9  # doubtful places of the other material do not turn it
        given.append(ViewMaps(item.base, item.slope, item.roughness, metal))
    first, second = fused(surface, views, given)
    assert (first.metallic, second.metallic) == (False, True)


def test_the_weighted_median_lies_between_its_middle_values():
    values = np.array([1.0, 5.0, 2.0, 100.0]).reshape(4, 1, 1)
    weights = np.array([1.0, 1.0, 1.0, 0.0]).reshape(4, 1)
    assert weighted_median(values, weights) == pytest.approx(np.array([[2.0]]))
    assert weighted_median(values[:2], weights[:2]) == pytest.approx(np.array([[3.0]]))
    assert weighted_median(values, np.array([[1.0], [1e-12], [0], [0]])) == pytest.approx(np.array([[1.0]]), abs=1e-3)
    assert weighted_median(values, np.zeros((4, 1))) == pytest.approx(np.array([[0.0]]))
    assert weighted_median(np.zeros((0, 3, 2)), np.zeros((0, 3))).shape == (3, 2)


def test_medians_of_several_groups_agree_with_those_of_one(monkeypatch):
    surface = Surface(mesh(sphere(16, 32)))
    views = around(64)
    given = [maps(view, roughness=0.2 + 0.05 * number) for number, view in enumerate(views)]
    whole = fused(surface, views, given)[0]
    monkeypatch.setattr("blender_sd.geometry.bake.HELD", 64 * 64)
    split = fused(surface, views, given)[0]
    assert np.abs(whole.roughness - split.roughness).max() < 1e-4  # groups of one view: their medians are the views


def test_tangents_of_uvs_without_an_area_are_nothing():
    surface = Surface(mesh((*plane()[:2], np.zeros((2, 3, 2)))))
    assert not tangents(surface, surface.uv)[0].any()
