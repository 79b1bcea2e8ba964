"""Give texels that no view saw the colours of the nearest seen points whose normals agree."""
from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from .slices import Cancelled, each, never
from .texels import Texels

_NEIGHBOURS = 12
_FEW = 1e-3  # the weight of a neighbour whose normal points the other way


def fill(texels: Texels, colours: np.ndarray, seen: np.ndarray, cancelled: Cancelled = never) -> np.ndarray:
    """Change the `colours` (N×3) of entries that are not `seen` (N bool). Return which have a colour now (N bool).

    Colours come from the same texture of the same object only; where none of it is seen, nothing is filled.

    Raises:
        JobCancelled: `cancelled` returned True.
    """
    layout = texels.layout
    group = layout.surface.groups[layout.triangle[texels.laid]]
    sources = _sources(texels, seen)
    set_ = seen.copy()
    for number in np.unique(group[~seen]):
        near = sources[group[sources] == number]
        if len(near):
            unseen = np.flatnonzero(~seen & (group == number))
            _fill(texels, colours, unseen, near, cancelled)
            set_[unseen] = True
    return set_


def _fill(texels: Texels, colours: np.ndarray, unseen: np.ndarray, sources: np.ndarray, cancelled: Cancelled) -> None:
    tree = cKDTree(texels.points[sources], balanced_tree=False)
    count = min(_NEIGHBOURS, len(sources))

    def part_of(part: slice) -> None:
        entries = unseen[part]
        distance, near = tree.query(texels.points[entries], count)
        distance, near = distance.reshape(len(entries), count), sources[near.reshape(len(entries), count)]
        agree = np.einsum("nij,nj->ni", texels.normals[near], texels.normals[entries])
        weight = (_FEW + np.maximum(agree, 0) ** 2) / (distance + 1e-6 + 0.1 * distance[:, -1:]) ** 2
        colours[entries] = np.einsum("nij,ni->nj", colours[near], weight) / weight.sum(1, keepdims=True)

    each(part_of, len(unseen), cancelled, 1 << 15)


def _sources(texels: Texels, seen: np.ndarray) -> np.ndarray:
    """Return the seen entries that lie next to unseen ones or at an island's border: the nearest are among them."""
    layout = texels.layout
    known = np.zeros(int(layout.starts[-1]), bool)
    known[texels.texel[seen]] = True
    inner = np.zeros_like(known)
    for start, sheet in zip(layout.starts, layout.sheets):
        span = slice(start, start + sheet.width * sheet.height)
        image = known[span].reshape(sheet.height, sheet.width)
        inner[span] = binary_erosion(image, np.ones((3, 3), bool), iterations=2).ravel()
    return np.flatnonzero(seen & ~inner[texels.texel])
