"""UV areas as pixels: small triangles are drawn together, and as exactly as large ones."""
from __future__ import annotations

import time

import numpy as np
import pytest

from blender_sd.scene import raster


@pytest.mark.parametrize("reach", [0.0, 0.01, 0.05, 0.2, 3.0])
def test_small_triangles_cover_what_each_alone_covers(reach):
    random = np.random.default_rng(int(reach * 100))
    triangles = random.uniform(-1, 2, (60, 1, 2)) + random.uniform(-reach, reach, (60, 3, 2))
    triangles[0, 0] = np.nan
    triangles[1] = triangles[1, :1]  # a point
    triangles[2, 2] = triangles[2, 1]  # a line
    wanted = np.zeros((48, 80), bool)
    for corner in triangles[1:] * (80, 48):
        raster._draw(wanted, corner)
    assert np.array_equal(raster.covered(triangles, (80, 48)), wanted[::-1])


def test_a_million_triangles_take_seconds():
    side = 708
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    corner = np.stack([x, y], -1).reshape(-1, 1, 2)
    lower = (corner + [[0, 0], [1, 0], [0, 1]]) / side
    upper = (corner + [[1, 1], [1, 0], [0, 1]]) / side
    start = time.process_time()
    assert raster.covered(np.concatenate([lower, upper]), (256, 256)).all()
    assert time.process_time() - start < 20
