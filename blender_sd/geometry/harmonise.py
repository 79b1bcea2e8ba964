"""Harmonise the colours of several pictures: a gain and an offset for each, by least squares where they overlap."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from .cells import Cells
from .gather import Reading

_CELLS = 1500  # that are compared
_FEWEST = 8  # entries of a cell that both views must see
_HOLD_OFFSET = 0.3
_SMALL = 0.01  # pictures that differ by no more agree as well as sampling can tell
_ROUNDS = 3  # of reweighting against highlights and what moved between two pictures


def sample(cells: Cells, seed: int = 0) -> np.ndarray:
    """Return the entries of some cells, spread over the whole surface: their order is that of the table."""
    chosen = np.zeros(cells.count, bool)
    order = np.random.default_rng(seed).permutation(cells.count)
    chosen[order[:_CELLS]] = True
    return np.flatnonzero(chosen[cells.of])


def solve(cells: Cells, entries: np.ndarray, readings: Sequence[Reading]) -> tuple[np.ndarray, np.ndarray]:
    """Return gains and offsets (V×3 each) that make the pictures agree: colour × gain + offset, linear light.

    In each group of pictures that overlap, gains average 1 and offsets 0. Means over cells of some texels are compared,
    not texels, so that a small displacement does not pass for a lack of contrast.

    Args:
        cells: The cells of the table.
        entries: The sampled entries, from `sample`.
        readings: What each picture shows at them; its entries are indices into `entries`.
    """
    views = len(readings)
    gains, offsets = np.ones((views, 3)), np.zeros((views, 3))
    pairs = list(_pairs(cells, entries, readings))
    if not pairs:
        return gains, offsets
    overlap = np.zeros((views, views))
    for one, other, _, _, weight in pairs:
        overlap[one, other] += weight.sum()
    groups = connected_components(csr_matrix(overlap), directed=False)[1]
    for channel in range(3):
        gains[:, channel], offsets[:, channel] = _channel(views, pairs, groups, channel)
    if np.abs(gains - 1).max() < _SMALL and np.abs(offsets).max() < _SMALL:
        return np.ones((views, 3)), np.zeros((views, 3))
    return gains, offsets


def _pairs(cells: Cells, entries: np.ndarray, readings: Sequence[Reading]):
    """Yield for each two overlapping views their numbers, the mean colours of the cells that both see, and weights."""
    cell = cells.of[entries]
    tables = []
    for reading in readings:
        colours, quality = np.zeros((len(entries), 3), np.float32), np.zeros(len(entries), np.float32)
        colours[reading.entries], quality[reading.entries] = reading.colours, reading.quality
        tables.append((colours, quality))
    for one in range(len(tables)):
        for other in range(one + 1, len(tables)):
            quality = np.minimum(tables[one][1], tables[other][1])
            both = np.flatnonzero(quality > 0)
            if not len(both):
                continue
            names, place, count = np.unique(cell[both], return_inverse=True, return_counts=True)
            weight = np.bincount(place, quality[both] ** 2, len(names))
            means = [np.stack([np.bincount(place, table[both, k], len(names)) / count for k in range(3)], 1)
                     for table in (tables[one][0], tables[other][0])]
            enough = count >= _FEWEST
            if enough.any():
                yield one, other, means[0][enough], means[1][enough], weight[enough]


def _channel(views: int, pairs: Sequence, groups: np.ndarray, channel: int) -> tuple[np.ndarray, np.ndarray]:
    solution = np.concatenate([np.ones(views), np.zeros(views)])
    for _ in range(_ROUNDS):
        normal = np.zeros((2 * views, 2 * views))
        for one, other, first, second, weight in pairs:
            a, b = first[:, channel], second[:, channel]
            rows = np.array([one, views + one, other, views + other])
            terms = np.stack([a, np.ones_like(a), -b, -np.ones_like(b)], 1)
            miss = np.abs(terms @ solution[rows])
            scale = 2 * np.median(miss) + 1e-6
            robust = weight / np.maximum(1, miss / scale)
            normal[np.ix_(rows, rows)] += terms.T @ (terms * robust[:, None])
        size = np.trace(normal) / (2 * views)
        right = np.zeros(2 * views)
        # A picture that is a little less sharp has less contrast. That must not be taken for another exposure, so a
        # gain is preferred to an offset: it is known from brightness as well as from contrast.
        hold = np.repeat([1e-4 * size, _HOLD_OFFSET * size], views)
        normal[np.arange(2 * views), np.arange(2 * views)] += hold
        right[:views] += hold[:views]
        strong = 1e4 * size
        for group in range(groups.max() + 1):
            for start, wanted in ((0, 1.0), (views, 0.0)):
                row = np.zeros(2 * views)
                row[start + np.flatnonzero(groups == group)] = 1 / np.count_nonzero(groups == group)
                normal += strong * np.outer(row, row)
                right += strong * wanted * row
        solution = np.linalg.solve(normal, right)
    return np.clip(solution[:views], 0.25, 4.0), solution[views:]
