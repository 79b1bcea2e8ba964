"""UVs for meshes without any: no overlaps, every triangle has an area, no border inside a polygon."""
from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.support.meshes import cube, mesh, sphere, torus

from blender_sd.core.errors import GeometryMissing
from blender_sd.geometry.sheets import Layout, Sheet
from blender_sd.geometry.surface import Surface
from blender_sd.geometry.texels import table
from blender_sd.geometry.unwrap import unwrap

pytest.importorskip("xatlas")


@pytest.mark.parametrize("part", [cube(), sphere(12, 24), torus(12, 24)], ids=["cube", "sphere", "torus"])
def test_a_map_is_made_whose_polygons_are_whole(part):
    vertices, triangles, _ = part
    polygons = np.arange(len(triangles)) // 2
    uv = unwrap(vertices, triangles, polygons)
    assert uv.shape == (len(triangles), 3, 2) and uv.min() >= 0 and uv.max() <= 1
    one, other = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    corners = vertices[triangles]
    real = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    assert (np.abs(area)[real > 1e-9] > 0).all()
    first, second = triangles[::2], triangles[1::2]  # the halves of each quad share the corners 0 and 2
    assert (first[:, 0] == second[:, 0]).all() and (first[:, 2] == second[:, 1]).all()
    assert np.allclose(uv[::2, 0], uv[1::2, 0], atol=1e-6) and np.allclose(uv[::2, 2], uv[1::2, 1], atol=1e-6)
    texels = table(Layout(Surface(mesh((vertices, triangles, uv))), (Sheet(0, 512, 512),)))
    assert texels.overlapping <= texels.inside.sum() * 0.002 and texels.inside.sum() > 0.35 * 512**2


def test_polygons_of_many_corners_stay_whole():
    vertices, triangles, _ = sphere(12, 24)
    polygons = np.arange(len(triangles)) // 8  # each four quads in a row: borders of charts would cross some
    uv = unwrap(vertices, triangles, polygons)
    places = np.concatenate([np.stack([np.repeat(polygons, 3), triangles.ravel()], 1), uv.reshape(-1, 2).round(5)], 1)
    corners = vertices[triangles]
    real = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 1e-9
    places = np.unique(places[np.repeat(real, 3)], axis=0)
    assert len(places) == len(np.unique(places[:, :2], axis=0))
    texels = table(Layout(Surface(mesh((vertices, triangles, uv))), (Sheet(0, 512, 512),)))
    assert texels.overlapping <= texels.inside.sum() * 0.002


def test_charts_keep_the_surface_s_scale():
    vertices, triangles, _ = cube()
    uv = unwrap(vertices, triangles, np.arange(len(triangles)) // 2)
    edge = np.linalg.norm(uv[:, 1] - uv[:, 0], axis=1) / np.linalg.norm(
        vertices[triangles[:, 1]] - vertices[triangles[:, 0]], axis=1)
    assert edge.max() / edge.min() < 1.2  # xatlas rounds charts to whole texels


def test_without_the_package_one_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(GeometryMissing, match="xatlas"):
        unwrap(*cube()[:2], np.arange(12))
