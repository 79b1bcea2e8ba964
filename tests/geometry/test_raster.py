"""Triangles under texels' centres: the same as Embree's rays find, each centre once, stacks bounded."""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex")

from blender_sd.geometry import raster
from blender_sd.geometry.raster import DEEPEST, texels_under
from blender_sd.geometry.rays import Rays

SIZE = 64


def grid(cells: int, noise: float = 0.0) -> np.ndarray:
    """A square of the image divided into cells × cells × 2 triangles, whose inner corners are displaced."""
    points = np.stack(np.meshgrid(*[np.linspace(8, 56, cells + 1)] * 2), -1)
    points[1:-1, 1:-1] += np.random.default_rng(0).uniform(-noise, noise, (cells - 1, cells - 1, 2))
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    return np.concatenate([np.stack([a, b, c], 2).reshape(-1, 3, 2), np.stack([a, c, d], 2).reshape(-1, 3, 2)])


@pytest.mark.parametrize(("cells", "noise"), [(1, 0), (6, 0), (48, 0), (96, 0), (12, 1.5), (60, 0.3)])
def test_neighbours_share_no_centre_and_leave_none_out(cells, noise):
    texel, _ = texels_under(grid(cells, noise), SIZE, SIZE)  # edges on centres and between them
    expected = np.zeros((SIZE, SIZE), bool)
    expected[8:56, 8:56] = True
    assert np.array_equal(np.sort(texel), np.flatnonzero(expected))


def test_it_finds_what_rays_find():
    corners = np.random.default_rng(1).uniform(-20, 84, (9, 3, 2))
    texel, triangle = texels_under(corners, SIZE, SIZE)
    centres = np.stack([np.tile(np.arange(SIZE), SIZE) + 0.5, np.repeat(np.arange(SIZE), SIZE) + 0.5,
                        np.ones(SIZE * SIZE)], 1)
    for number in range(9):
        flat = np.concatenate([corners[number], np.zeros((3, 1))], 1)
        hit = Rays(flat, np.array([[0, 1, 2]])).first(centres, np.array([[0, 0, -1.0]])) >= 0
        mine = np.zeros(SIZE * SIZE, bool)
        mine[texel[triangle == number]] = True
        assert np.count_nonzero(hit != mine) <= 2  # single precision, at an edge


def test_triangles_without_an_area_have_no_texel():
    corners = np.array([[[5, 5], [20, 5], [40, 5]], [[5, 5], [20, 20], [40, 40]], [[7.5, 7.5]] * 3], float)
    assert not len(texels_under(corners, SIZE, SIZE)[0])
    assert not len(texels_under(np.empty((0, 3, 2)), SIZE, SIZE)[0])


@pytest.mark.parametrize("alike", [True, False])
def test_of_a_high_stack_a_few_are_kept(alike, monkeypatch):
    monkeypatch.setattr(raster, "_CHUNK", 4096)
    shifts = np.zeros(300) if alike else np.linspace(0, 4, 300)
    corners = np.array([[0, 0], [64, 0], [0, 64]], float) + shifts[:, None, None]
    texel, triangle = texels_under(corners, SIZE, SIZE)
    count = np.bincount(texel, minlength=SIZE * SIZE)
    assert count.max() <= DEEPEST + 4 and len(set(zip(texel.tolist(), triangle.tolist()))) == len(texel)
    each = [texels_under(corners[number : number + 1], SIZE, SIZE)[0] for number in range(len(corners))]
    assert np.array_equal(np.flatnonzero(count), np.unique(np.concatenate(each)))
