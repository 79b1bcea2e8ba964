"""Close the steps where one view takes over from another: details go on as one of them has them, not as their mean.

After Pérez et al. (2003), over the graph of neighbouring places: each step between two views is brought to what one
of them shows there, and the correction fades with the distance, coarse differences slower than fine ones. Nothing is
averaged, so that contrast stays.
"""
from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg

from .cells import entries_by_texel
from .slices import Cancelled, check, never
from .texels import Texels

_FIRM = 4.0  # the weight of a step at a border, against those round it that change
_FADED = 3  # reaches from a border at which nothing is corrected any more
_EXACT, _ROUNDS = 1e-2, 80  # of the solver


def corrections(count: int, pairs: np.ndarray, border: np.ndarray, change: np.ndarray, reach: float,
                cancelled: Cancelled = never) -> np.ndarray:
    """Return what to add to the values of `count` places so that the steps between neighbours change: count×K float32.

    Args:
        count: The number of places.
        pairs: 2×P, places that are neighbours.
        border: n indices of those whose step is to change; all other steps stay as far as they can.
        change: n×K, by how much the value at the first of each, less that at the second, is to change; NaN for none.
        reach: The distance, in places, over which a correction falls to a third.
        cancelled: See `slices`.
    """
    result = np.zeros((count, change.shape[1]), np.float32)
    known = ~np.isnan(change).any(1)
    border, change = border[known], change[known]
    near = np.zeros(count, bool)
    near[pairs[:, border]] = True
    for _ in range(round(_FADED * reach)):
        check(cancelled)
        near[pairs[:, near[pairs].any(0)]] = True
    if not near.any():
        return result
    name = np.cumsum(near, dtype=np.int32) - 1
    size, (left, right) = int(near.sum()), name[pairs[:, near[pairs].all(0)]]
    first, second = name[pairs[:, border]]
    rows, columns = np.concatenate([left, right, first, second]), np.concatenate([right, left, second, first])
    weight = np.repeat([1.0, _FIRM - 1], [2 * len(left), 2 * len(first)])  # a border counts _FIRM times in all
    graph = coo_matrix((weight, (rows, columns)), shape=(size, size)).tocsr()
    diagonal = np.asarray(graph.sum(1)).ravel() + np.float32(1 / reach**2)
    system, easier = (diags(diagonal) - graph).tocsr(), diags(1 / diagonal)
    for column, values in enumerate(change.T):
        check(cancelled)
        wanted = _FIRM * (np.bincount(first, values, size) - np.bincount(second, values, size))
        result[near, column] = cg(system, wanted.astype(np.float32), rtol=_EXACT, maxiter=_ROUNDS, M=easier)[0]
    return result


def change_of(first: np.ndarray, second: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Return by how much the steps between pairs of places are to change, n×K; NaN where that is unknown.

    They become those of the view with the lower number, or of the other one where that does not see both places. The
    mean of two views' steps would be smaller than either where their details differ.

    Args:
        first: n×K, at the first places of the pairs: what the second place's view shows there, less its own. NaN where
            that view does not see it.
        second: n×K, at the second places: its own view's colour, less what the first place's view shows.
        views: 2×n, the best views of both places.
    """
    wanted = np.where((views[1] < views[0])[:, None], first, second)
    return np.where(np.isnan(wanted), np.where(np.isnan(first), second, first), wanted)


def neighbours(texels: Texels) -> np.ndarray:
    """Return pairs of entries of a table that are neighbours on an island, 2×P."""
    at, pairs = entries_by_texel(texels), []
    for sheet, start in zip(texels.layout.sheets, texels.layout.starts):
        own = at[start : start + sheet.width * sheet.height].reshape(sheet.height, sheet.width)
        for first, second in ((own[:, :-1], own[:, 1:]), (own[:-1], own[1:])):
            both = (first >= 0) & (second >= 0)
            pair = np.stack([first[both], second[both]])
            pairs.append(pair[:, texels.islands[pair[0]] == texels.islands[pair[1]]])
    return np.concatenate(pairs, 1)
