"""From displayed colours back to scene-linear light, through a view transform that is known by samples.

sRGB's curve has an exact inverse. Any other view transform (AgX, Filmic, a look, an exposure) was sampled on a grid
(`protocol.light`); between its samples it is linear, and each colour's scene-linear value is found there by Gauss and
Newton's method, from the sample that is displayed most like it. A colour that the view transform cannot show gets the
value that is displayed nearest to it.
"""
from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ...geometry import colours
from ...protocol import light

_ROUNDS = 12
_AT_ONCE = 1 << 18  # colours; each takes about half a kilobyte
_DAMPING = 1e-4  # for places where a channel hardly changes what is displayed


def scene_linear(shown: np.ndarray, view: np.ndarray | None) -> np.ndarray:
    """Return a displayed picture in scene-linear light.

    Args:
        shown: H×W×3 uint8, sRGB as displayed.
        view: How the samples are displayed (`protocol.light.Light.view`); None for sRGB's curve.

    Returns:
        H×W×3 float32, scene-linear Rec. 709.
    """
    if view is None:
        return colours.linear(shown)[..., :3]
    packed = shown.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    different, places = np.unique(packed, return_inverse=True)
    wanted = np.stack([different >> 16, different >> 8 & 255, different & 255], -1).astype(np.float32) / 255
    view = view.astype(np.float32) / 255
    nearest = cKDTree(view.reshape(-1, 3))
    values = np.concatenate([_inverse(wanted[start : start + _AT_ONCE], view, nearest)
                             for start in range(0, len(wanted), _AT_ONCE)])
    return values[places.reshape(shown.shape[:2])]


def _inverse(wanted: np.ndarray, view: np.ndarray, nearest: cKDTree) -> np.ndarray:
    """Return the scene-linear values that `view`, whose samples `nearest` finds, displays most like `wanted`: N×3."""
    side = len(view)
    best = np.stack(np.unravel_index(nearest.query(wanted)[1], (side,) * 3), -1).astype(np.float32)
    place, error = best.copy(), np.full(len(wanted), np.inf, np.float32)
    for _ in range(_ROUNDS):
        now, slope = _displayed(place, view)
        missing = wanted - now
        off = (missing ** 2).sum(1)
        better = off < error
        best[better], error[better] = place[better], off[better]
        normal = np.einsum("nij,nik->njk", slope, slope) + _DAMPING * np.eye(3, dtype=np.float32)
        step = np.linalg.solve(normal, np.einsum("nij,ni->nj", slope, missing)[..., None])[..., 0]
        place = np.clip(best + np.clip(step, -1, 1) * np.where(better, 1, 0.5)[:, None], 0, side - 1)
    return light.value_at(best).astype(np.float32)


def _displayed(place: np.ndarray, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is displayed at places between the samples, N×3, and how it changes with each axis, N×3×3."""
    low = np.clip(np.floor(place).astype(np.intp), 0, len(view) - 2)
    part = (place - low)[:, :, None]
    corners = np.stack([view[low[:, 0] + a, low[:, 1] + b, low[:, 2] + c] for a in (0, 1) for b in (0, 1)
                        for c in (0, 1)]).reshape(2, 2, 2, len(place), 3)

    def between(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        for axis in axes:
            values = values[0] + (values[1] - values[0]) * part[:, axis]
        return values

    slopes = [between(np.moveaxis(corners, axis, 0)[1] - np.moveaxis(corners, axis, 0)[0],
                      tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    return between(corners, (0, 1, 2)), np.stack(slopes, -1)
