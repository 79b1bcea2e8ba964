"""Views of an object from its sides: what the engine paints from, and what Blender shows of them beforehand."""
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..core.tasks import SIDES

AROUND = 8  # the first of `SIDES`; the others look straight down and up
_TALL = math.radians(15)  # how far the views around look down
_FIELD = math.radians(35)  # of view: narrow, so that sides are seen at right angles
_MARGIN = 1.06


class Framing(NamedTuple):
    """A square perspective view that shows all of an object round the origin.

    Attributes:
        origin: 3, the position of the camera.
        axes: 3×3 orthonormal, its rows pointing right, up and forward.
        scale: A point at `right`, `up`, `depth` along the axes is seen at scale·right/depth, scale·up/depth, in shares
            of the view's side from its middle.
    """

    origin: np.ndarray
    axes: np.ndarray
    scale: float


def direction_of(side: str) -> np.ndarray:
    """Return the unit vector from the object to the viewer for one of `SIDES`; Front looks from −Y, as in Blender."""
    number = SIDES.index(side)
    if number >= AROUND:
        return np.array([0.0, 0.0, 1.0 if number == AROUND else -1.0])
    angle = 2 * math.pi * number / AROUND
    return np.array([math.sin(angle) * math.cos(_TALL), -math.cos(angle) * math.cos(_TALL), math.sin(_TALL)])


def framed(points: np.ndarray, direction: np.ndarray) -> Framing:
    """Return the view from `direction` that shows all `points`.

    Args:
        points: N×3, an object's vertices; the middle of their bounding box is the origin.
        direction: From the object to the viewer. Straight from above, −Y points down in the picture, from below up.
    """
    back = np.asarray(direction, float) / np.linalg.norm(direction)
    up = np.array([0.0, 0.0, 1.0]) if abs(back[2]) <= 0.999 else np.array([0.0, np.sign(back[2]), 0.0])
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), -back])
    distance = float(np.linalg.norm(points, axis=1).max()) * _MARGIN / math.sin(_FIELD / 2)
    local = points @ axes.T
    slopes = np.abs(local[:, :2]) / (local[:, 2:] + distance)
    return Framing(back * distance, axes, 1 / (2 * min(math.tan(_FIELD / 2), float(slopes.max()) * _MARGIN)))
