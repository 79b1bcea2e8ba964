"""Meshes that nothing in `geometry` was chosen with: a knot, a dented ball, a stepped tower and a wavy sheet."""
from __future__ import annotations

import numpy as np

from tests.support.meshes import Part, grid


def all_meshes() -> dict[str, Part]:
    """Return the meshes by name, all about as large as the unit box."""
    return {"knot": knot(), "dented": dented(), "tower": tower(), "wavy": wavy()}


def knot(rows: int = 24, columns: int = 320, thick: float = 0.16) -> Part:
    """Return a trefoil knot, whose strands hide each other."""
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle, turn = 2 * np.pi * u, 2 * np.pi * v
        middle = np.stack([np.sin(angle) + 2 * np.sin(2 * angle), np.cos(angle) - 2 * np.cos(2 * angle),
                           -np.sin(3 * angle)], -1) * 0.27
        along = np.stack([np.cos(angle) + 4 * np.cos(2 * angle), -np.sin(angle) + 4 * np.sin(2 * angle),
                          -3 * np.cos(3 * angle)], -1)
        along /= np.linalg.norm(along, axis=-1, keepdims=True)
        side = np.cross(along, [0, 0, 1.0])
        side /= np.linalg.norm(side, axis=-1, keepdims=True)
        return middle + thick * (side * np.cos(turn)[..., None] + np.cross(side, along) * np.sin(turn)[..., None])
    return grid(place, columns, rows)


def dented(rows: int = 96, columns: int = 192) -> Part:
    """Return a ball with dents and bumps of several sizes."""
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle, height = 2 * np.pi * u, np.pi * v
        ball = np.stack([np.cos(angle) * np.sin(height), np.sin(angle) * np.sin(height), -np.cos(height)], -1)
        bumps = sum(np.sin(k * ball @ direction + k) / k for k, direction in
                    ((4, np.array([1, 0.3, 0.2])), (7, np.array([-0.2, 1, 0.5])), (11, np.array([0.4, -0.3, 1]))))
        return ball * (0.85 + 0.35 * bumps)[..., None]
    return grid(place, columns, rows)


def tower(steps: int = 4, columns: int = 128) -> Part:
    """Return a round tower of steps, with sharp inner and outer edges."""
    radius = np.linspace(0.9, 0.3, steps)
    height = np.linspace(-1, 1, steps + 1)
    edges = [point for k in range(steps) for point in ((radius[k], height[k]), (radius[k], height[k + 1]))]
    profile = np.array([(0, -1), *edges, (0, 1)])
    along = np.concatenate([np.linspace(k, k + 1, 10, endpoint=False) for k in range(len(profile) - 1)]
                           + [[len(profile) - 1.0]])

    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        at = along[np.round(v * (len(along) - 1)).astype(int)]
        index = np.minimum(at.astype(int), len(profile) - 2)
        share = (at - index)[..., None]
        wide, high = (profile[index] * (1 - share) + profile[index + 1] * share).transpose(2, 0, 1)
        return np.stack([np.cos(2 * np.pi * u) * wide, np.sin(2 * np.pi * u) * wide, high], -1)
    return grid(place, columns, len(along) - 1)


def wavy(cells: int = 200) -> Part:
    """Return an open sheet with waves, seen from above by some views and at a flat angle by others."""
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        x, y = 2 * u - 1, 2 * v - 1
        return np.stack([x, y, 0.2 * np.sin(5 * x + 1) * np.cos(4 * y) + 0.1 * np.sin(9 * y)], -1)
    return grid(place, cells, cells)
