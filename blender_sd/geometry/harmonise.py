"""Harmonise the colours of several pictures: a gain and an offset for each, by least squares where they overlap."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from .gather import Reading
from .texels import Texels

_SIDE = 32  # texels of the squares that are compared: wide enough that a small displacement changes no mean
_SQUARES = 800  # that are compared at most
_EACH = 160  # texels of each that are read
_FEWEST = 12  # of them that both views must see
_HOLD_OFFSET = 0.3
_SMALL = 0.01  # pictures that differ by no more agree as well as sampling can tell
_ROUNDS = 3  # of reweighting against highlights and what moved between two pictures


@dataclass(frozen=True, eq=False)
class Sample:
    """Entries of the table in some squares of the images.

    Attributes:
        entries: n indices into the table, ascending.
        square: n numbers of the squares that they lie in.
    """

    entries: np.ndarray
    square: np.ndarray


def sample(texels: Texels, seed: int = 0) -> Sample:
    """Return some entries, in squares that are spread over the whole surface."""
    sheet, row, column = texels.places()
    wide = max(one.width for one in texels.layout.sheets) // _SIDE + 1
    high = max(one.height for one in texels.layout.sheets) // _SIDE + 1
    key = ((texels.islands.astype(np.int64) * len(texels.layout.sheets) + sheet) * high + row // _SIDE
           ) * wide + column // _SIDE
    names = np.unique(key[:: max(1, len(key) // 200_000)])
    noise = np.random.default_rng(seed)
    chosen = noise.permutation(names)[:_SQUARES]
    entries = np.flatnonzero(np.isin(key, chosen))
    keep = min(1.0, _SQUARES * _EACH / max(1, len(entries)))
    entries = entries[noise.random(len(entries)) < keep]
    return Sample(entries, np.unique(key[entries], return_inverse=True)[1])


def solve(sampled: Sample, readings: Sequence[Reading]) -> tuple[np.ndarray, np.ndarray]:
    """Return gains and offsets (V×3 each) that make the pictures agree: colour × gain + offset, linear light.

    In each group of pictures that overlap, gains average 1 and offsets 0. Means over squares of texels are compared,
    not texels, so that a small displacement does not pass for a lack of contrast.

    Args:
        sampled: The entries that were read.
        readings: What each picture shows at them; its entries are indices into `sampled.entries`.
    """
    views = len(readings)
    gains, offsets = np.ones((views, 3)), np.zeros((views, 3))
    pairs = list(_pairs(sampled, readings))
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


def _pairs(sampled: Sample, readings: Sequence[Reading]):
    """Yield for each two overlapping views their numbers, the mean colours of the squares that both see, and weights.
    """
    tables = []
    for reading in readings:
        colours = np.zeros((len(sampled.entries), 3), np.float32)
        quality = np.zeros(len(sampled.entries), np.float32)
        colours[reading.entries], quality[reading.entries] = reading.colours, reading.quality
        tables.append((colours, quality))
    for one in range(len(tables)):
        for other in range(one + 1, len(tables)):
            quality = np.minimum(tables[one][1], tables[other][1])
            both = np.flatnonzero(quality > 0)
            if not len(both):
                continue
            names, place, count = np.unique(sampled.square[both], return_inverse=True, return_counts=True)
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
