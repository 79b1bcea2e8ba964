"""Cells of a few texels on the surface, linked within UV islands and across seams: they carry what varies slowly."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from .texels import Texels

SIDE = 8  # texels
_STEPS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


@dataclass(frozen=True, eq=False)
class Cells:
    """Squares of texels, each of one UV island.

    Attributes:
        texels: The table that they divide.
        of: N int32, the cell of each entry.
        count: How many there are.
        next: C×9 int32: each cell's neighbours on its island, row by row, itself in the middle; itself where there is
            none.
        links: C×C, how a value spreads in one step: to neighbours on the island and across its seams. Rows sum to 1.
    """

    texels: Texels
    of: np.ndarray
    count: int
    next: np.ndarray
    links: csr_matrix

    def chosen(self, texels: Texels, entries: np.ndarray) -> Cells:
        """Return the same cells for `texels`, which are `entries` of the table."""
        return replace(self, texels=texels, of=self.of[entries])

    def mean(self, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted mean of all entries' `values` (N×K) in each cell (C×K, 0 where there is none), and the
        weights' sum.
        """
        count = np.bincount(self.of, weights, self.count).astype(np.float32)
        total = np.stack([np.bincount(self.of, column * weights, self.count) for column in values.T], 1)
        return (total / np.maximum(count, 1e-6)[:, None]).astype(np.float32), count

    def spread(self, values: np.ndarray, weights: np.ndarray, steps: int) -> np.ndarray:
        """Return `values` (C×K) averaged over the surface, each with its weight; about √steps cells wide."""
        total, sum_ = values * weights[:, None], weights
        for _ in range(steps):
            total, sum_ = self.links @ total, self.links @ sum_
        return np.divide(total, sum_[:, None], out=np.zeros_like(total), where=sum_[:, None] > 1e-6)

    def at(self, values: np.ndarray, part: slice) -> np.ndarray:
        """Return `values` (C×K) at the entries of `part`, bilinearly between cells of their own island."""
        _, row, column = self.texels.places(part)
        x, y = ((place % SIDE + np.float32(0.5)) / SIDE - np.float32(0.5) for place in (column, row))
        right, down = (x > 0).astype(np.int64) * 2 - 1, (y > 0).astype(np.int64) * 2 - 1
        across, along = np.abs(x).astype(np.float32), np.abs(y).astype(np.float32)
        cell = self.of[part]
        result = values[cell] * ((1 - across) * (1 - along))[:, None]
        for step, weight in ((4 + right, across * (1 - along)), (4 + 3 * down, (1 - across) * along),
                             (4 + right + 3 * down, across * along)):
            result += values[self.next[cell, step]] * weight[:, None]
        return result


def divide(texels: Texels) -> Cells:
    """Divide a table into cells."""
    layout = texels.layout
    sheet, row, column = texels.places()
    wide = max(sheet_.width for sheet_ in layout.sheets) // SIDE + 3
    high = max(sheet_.height for sheet_ in layout.sheets) // SIDE + 3
    island = texels.islands.astype(np.int64)
    key = (island * high + row // SIDE + 1) * wide + column // SIDE + 1
    keys, of = _numbered(key, (int(island.max(initial=0)) + 1) * high * wide)
    count = len(keys)
    own = np.arange(count)
    following = np.empty((count, 9), np.int32)
    pairs = []
    for number, (down, right) in enumerate(_STEPS):
        wanted = keys + down * wide + right
        place = np.minimum(np.searchsorted(keys, wanted), count - 1)
        there = keys[place] == wanted
        following[:, number] = np.where(there, place, own)
        pairs.append(np.stack([own[there], place[there]]))
    links = np.concatenate([*pairs, *_across_seams(texels, of)], axis=1)
    graph = coo_matrix((np.ones(links.shape[1], np.float32), tuple(links)), shape=(count, count)).tocsr()
    graph.data[:] = 1
    degree = np.asarray(graph.sum(1)).ravel()
    return Cells(texels, of.astype(np.int32), count, following, csr_matrix(diags(1 / degree) @ graph))


def _numbered(keys: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct `keys`, which are below `end`, in ascending order, and for each key its index among them."""
    if end > 8 * len(keys):
        return np.unique(keys, return_inverse=True)
    there = np.zeros(end, bool)  # a table is several times as fast as sorting
    there[keys] = True
    names = np.flatnonzero(there)
    index = np.empty(end, np.int32)
    index[names] = np.arange(len(names), dtype=np.int32)
    return names, np.take(index, keys)


def _across_seams(texels: Texels, of: np.ndarray) -> list[np.ndarray]:
    """Return the pairs of cells (2×n each) that meet at a seam."""
    layout, samples = texels.layout, texels.layout.border_samples
    borders = layout.borders
    chosen = borders.twin[samples.edge] >= 0
    here = cell_at(texels, of, borders.laid[samples.edge[chosen]], samples.here[chosen])
    there = cell_at(texels, of, borders.laid[borders.twin[samples.edge[chosen]]], samples.there[chosen])
    both = (here >= 0) & (there >= 0) & (here != there)
    pairs = np.unique(np.stack([here[both], there[both]]), axis=1)
    return [pairs, pairs[::-1]]


def cell_at(texels: Texels, of: np.ndarray, laid: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the cells at points (n×2, in texels) of laid-out triangles; −1 where there is no texel."""
    layout = texels.layout
    entry_at = entries_by_texel(texels)
    sheet = layout.sheet[laid]
    widths = np.array([one.width for one in layout.sheets])[sheet]
    heights = np.array([one.height for one in layout.sheets])[sheet]
    column = np.clip(np.floor(points[:, 0]).astype(np.int64), 0, widths - 1)
    row = np.clip(np.floor(points[:, 1]).astype(np.int64), 0, heights - 1)
    entry = entry_at[layout.starts[sheet] + row * widths + column]
    return np.where(entry >= 0, of[np.maximum(entry, 0)], -1)


def entries_by_texel(texels: Texels) -> np.ndarray:
    """Return for each texel of all sheets an entry that shows it, −1 for none."""
    result = np.full(int(texels.layout.starts[-1]), -1, np.int32)
    result[texels.texel] = np.arange(texels.count, dtype=np.int32)
    return result

