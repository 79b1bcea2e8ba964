"""Pictures to enlarge, and requests that do."""
from __future__ import annotations

import numpy as np
from PIL import Image

from blender_sd.core.tasks import UPSCALE
from tests.support.engine import small


def picture(width, height, channels=4, seed=0):
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), np.uint8)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def opaque(width, height):
    return np.dstack([picture(width, height, 3), np.full((height, width), 255, np.uint8)])


def pixels_of(result):
    return np.asarray(Image.open(result.path))


def order(model, width, height, **changes):
    return small(
        model,
        **{"task": UPSCALE, "width": width, "height": height, "tile": 64, "steps": 4, "strength": 0.5, **changes})
