"""Show how a bake came about: pictures of coverage, weights, best views and seams."""
from __future__ import annotations

import colorsys

import numpy as np

from .bake import Baked
from .blend import NO_VIEW
from .sheets import Layout


def picture(kind: str, baked: Baked, layout: Layout, number: int) -> np.ndarray:
    """Return a picture about one sheet, H×W×4 uint8.

    Args:
        kind: One of `core.roles.BAKE_PICTURES`. "coverage": green where a view sees the texel, red where none does,
            blue beyond islands. "weights": the best view's quality. "best view": a colour for each view. "seams": the
            borders of islands, white where another island continues the surface, orange where it ends.
        baked: The result for the sheet.
        layout: The islands.
        number: The sheet's number in `layout`.
    """
    result = np.zeros((*baked.covered.shape, 4), np.uint8)
    result[..., 3] = 255
    seen = baked.view != NO_VIEW
    if kind == "coverage":
        result[baked.set & ~baked.covered, 2] = 160
        result[baked.covered & ~seen, 0] = 220
        result[seen, 1] = 200
    elif kind == "weights":
        result[..., :3] = (np.clip(baked.quality, 0, 1) * 255).astype(np.uint8)[..., None]
    elif kind == "best view":
        views = int(baked.view[seen].max(initial=0)) + 1
        palette = np.array([colorsys.hsv_to_rgb(k * 0.618 % 1, 0.75, 0.95) for k in range(views)])
        result[seen, :3] = (palette[baked.view[seen]] * 255).astype(np.uint8)
    elif kind == "seams":
        result[baked.covered, :3] = 60
        samples, borders = layout.border_samples, layout.borders
        mine = layout.sheet[borders.laid[samples.edge]] == number
        column, row = np.floor(samples.here[mine]).astype(int).T
        column, row = np.clip(column, 0, baked.sheet.width - 1), np.clip(row, 0, baked.sheet.height - 1)
        paired = borders.twin[samples.edge[mine]] >= 0
        result[row, column, :3] = np.where(paired[:, None], [255, 255, 255], [255, 140, 0])
    else:
        raise ValueError(f"unknown kind: {kind}")
    return result
