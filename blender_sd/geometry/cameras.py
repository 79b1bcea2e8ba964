"""Choose views of an object: eight around it, from above and below, then those that show most of what is still hidden.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.tasks import SIDES
from ..protocol.side_views import direction_of, framed
from .slices import Cancelled, check, never
from .surface import Surface
from .views import View

_SEARCH = 96  # pixels of views that are only compared
_CANDIDATES = 64
_WELL = 0.35  # the cosine at which a point counts as seen well


def sides(surface: Surface, size: int, names: Sequence[str] = SIDES) -> list[View]:
    """Return the views of `surface` with these names, of `size` pixels, in its unit box."""
    return [toward(surface, direction_of(name), size) for name in names]


def completed(surface: Surface, views: Sequence[View], more: int, size: int, target: float = 0.995,
              cancelled: Cancelled = never) -> list[View]:
    """Return `views` with more, until what is visible from outside is seen well.

    Args:
        surface: The triangles.
        views: In the unit box.
        more: The number of views that may be added.
        size: Theirs, in pixels.
        target: The share of what is visible from 200 directions outside that is enough.
        cancelled: See `slices`.
    """
    chosen = list(views)
    if not more:
        return chosen
    points, weights = visible(surface, cancelled)
    uncovered = ~np.any([sees(surface, view, points, cancelled) for view in chosen], axis=0)
    candidates = [toward(surface, direction, _SEARCH) for direction in directions(_CANDIDATES)]
    seen: list[np.ndarray] = []
    while len(chosen) < len(views) + more and weights[uncovered].sum() > (1 - target) * weights.sum():
        check(cancelled)
        seen = seen or [sees(surface, view, points, cancelled) for view in candidates]
        gains = [weights[uncovered & here].sum() for here in seen]
        best = int(np.argmax(gains))
        if gains[best] <= 0.001 * weights.sum():
            break
        uncovered &= ~seen[best]
        chosen.append(toward(surface, -candidates[best].axes[2], size))
    return chosen


def directions(count: int) -> np.ndarray:
    """Return directions spread evenly over the sphere (Fibonacci): count×3."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], 1)


def toward(surface: Surface, direction: np.ndarray, size: int) -> View:
    """Return a square view from `direction` that shows all triangles with a texture.

    Args:
        surface: The triangles.
        direction: From the object to the viewer.
        size: In pixels.
    """
    framing = framed(surface.vertices[np.unique(surface.triangles[surface.textures >= 0])], direction)
    scale = framing.scale * size
    return View(framing.origin, framing.axes, (scale, scale), (size / 2, size / 2), size, size)


def visible(surface: Surface, cancelled: Cancelled = never, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the surface that are visible from outside: n×6 (position and normal), and their share of the
    area.
    """
    chosen = np.flatnonzero(surface.textures >= 0)
    areas = surface.areas[chosen]
    draw = np.random.default_rng(0)
    picked = draw.choice(chosen, count, p=areas / areas.sum())
    weights = draw.dirichlet([1, 1, 1], count)
    points = np.concatenate([surface.points(picked, weights), surface.normals[picked]], 1)
    check(cancelled)
    away = directions(200)
    free = np.zeros(count, bool)
    for direction in away:
        facing = points[:, 3:] @ direction > 0.1
        start = points[facing, :3] + points[facing, 3:] * 1e-4
        free[np.flatnonzero(facing)[~surface.rays.blocked(start, start + direction * 10)]] = True
    return points[free], np.full(int(free.sum()), 1 / max(1, free.sum()))


def sees(surface: Surface, view: View, points: np.ndarray, cancelled: Cancelled = never) -> np.ndarray:
    """Return which of `points` (n×6, see `visible`) a view sees well."""
    check(cancelled)
    to_eye = view.origin - points[:, :3]
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    result = (points[:, 3:] * to_eye).sum(1) > _WELL
    start = points[result, :3] + points[result, 3:] * 1e-4
    result[np.flatnonzero(result)[surface.rays.blocked(start, np.broadcast_to(view.origin, start.shape))]] = False
    return result


def named(views: Sequence[View]) -> list[str]:
    """Return for each view the words that tell a model which side it shows."""
    result = []
    for view in views:
        back = -view.axes[2]
        if abs(back[2]) > 0.8:
            result.append("top view" if back[2] > 0 else "bottom view")
            continue
        turn = math.degrees(math.atan2(back[0], -back[1]))  # from the front
        result.append("front view" if abs(turn) < 60 else "back view" if abs(turn) > 120 else "side view")
    return result
