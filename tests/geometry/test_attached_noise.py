"""Noise that sticks to surfaces: as white as fresh noise, the same at the same points."""
from __future__ import annotations

import numpy as np

from blender_sd.geometry import attached_noise
from blender_sd.geometry.motion import BEYOND
from tests.geometry.test_motion import moment, turned
from tests.support import meshes

VIEW = meshes.camera((0, -4, 1.6), size=256, fov=0.7)
PARTS = [meshes.torus(), meshes.plane(1.6, -0.35)]


def moments(angles):
    box, result = None, []
    for angle in angles:
        turn = turned(angle)
        one, box = moment(PARTS, VIEW, lambda number, points, turn=turn: points @ turn.T if number == 0 else points,
                          box)
        result.append(one.smaller(4))
    return result, result[0].vertices


def morans(noise: np.ndarray) -> float:
    """Return Moran's I of H×W values, with the four neighbours."""
    values = noise - noise.mean()
    pairs = (values[:, 1:] * values[:, :-1]).sum() + (values[1:] * values[:-1]).sum()
    count = values[:, 1:].size + values[1:].size
    return float(pairs / count / (values**2).mean())


def test_it_is_as_white_as_fresh_noise():
    seen, rest = moments(np.linspace(0, 0.5, 4))
    keys = [attached_noise.cells(one, rest) for one in seen]
    attached, fresh = [], []
    for seed in range(16):
        draw = np.random.default_rng(seed)
        for key in keys:
            noise = attached_noise.drawn(key, 4, seed).reshape(64, 64, 4)
            other = draw.standard_normal((64, 64, 4))
            attached.append([(noise[..., k].var(), morans(noise[..., k])) for k in range(4)])
            fresh.append([(other[..., k].var(), morans(other[..., k])) for k in range(4)])
    one, other = np.array(attached).reshape(16, -1, 2).mean(1), np.array(fresh).reshape(16, -1, 2).mean(1)
    error = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / 16)
    assert (np.abs(one.mean(0) - other.mean(0)) <= 2 * error).all(), (one.mean(0), other.mean(0), error)


def test_the_same_points_have_the_same_numbers():
    seen, rest = moments([0.0, 0.02, 0.3])
    keys = [attached_noise.cells(one, rest) for one in seen]
    on = [one.points.label != BEYOND for one in seen]
    assert np.isin(keys[1][on[1]], keys[0]).mean() > 0.6
    assert np.isin(keys[2][on[2]], keys[0]).mean() > 0.3
    assert all(len(np.unique(key)) == len(key) for key in keys)
    assert (keys[0][~on[0] & ~on[1]] == keys[1][~on[0] & ~on[1]]).all()
    assert not np.array_equal(attached_noise.drawn(keys[0], 1, 1), attached_noise.drawn(keys[0], 1, 2))
