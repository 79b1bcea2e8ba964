"""Blend what several pictures show: the best view everywhere, and the weighted mean that levels it at low frequencies.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gather import Reading

# The mean's weights are quality to the power 4, the best view's to the power 12: a view that is better by a tenth then
# has 76 % of the weight, so that borders are narrow, but no steps. Pictures that agree make hardly any, and the power
# 32 keeps more of their details; such weights are relative to the best so far, as float32 holds no others.
_AGREED = np.float32(32)
_LEAST = np.float32(1e-35)  # of those weights, which float32 still holds
NO_VIEW = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Blend:
    """Running sums over the views, for N entries.

    Attributes:
        sums: N×8 float32: the sum of the colours with sharp weights, which the best view dominates, the weights' sum,
            and both with soft weights. Of pictures that agree, sharp weights are shares of the best view's.
        quality: N float32, the best quality so far; 0 where no view was.
        view: N uint16, the view that has it; NO_VIEW for none.
        agreed: Whether the pictures show the same where they overlap.
    """

    sums: np.ndarray
    quality: np.ndarray
    view: np.ndarray
    agreed: bool = False

    @classmethod
    def empty(cls, count: int, agreed: bool = False) -> Blend:
        """Return sums over no views."""
        return cls(np.zeros((count, 8), np.float32), np.zeros(count, np.float32), np.full(count, NO_VIEW, np.uint16),
                   agreed)

    def add(self, reading: Reading, view: int) -> None:
        """Add what the view numbered `view` shows. Threads may add readings of different entries at once."""
        entries, quality = reading.entries, reading.quality
        mean = (quality * quality) ** 2
        so_far = np.take(self.sums, entries, 0)
        if self.agreed:
            before = np.take(self.quality, entries)
            highest = np.maximum(before, quality)
            so_far[:, :4] *= ((before / highest) ** _AGREED)[:, None]
            best = (quality / highest) ** _AGREED
        else:
            best = np.maximum(sharpened(mean), _LEAST)
        rows = np.empty((len(entries), 8), np.float32)
        for start, weight in ((0, best), (4, mean)):
            np.multiply(reading.colours, weight[:, None], out=rows[:, start : start + 3])
            rows[:, start + 3] = weight
        rows += so_far
        self.sums[entries] = rows
        better = quality > np.take(self.quality, entries)
        self.quality[entries[better]] = quality[better]
        self.view[entries[better]] = view

    @property
    def seen(self) -> np.ndarray:
        """N bool: where any view was added."""
        return self.quality > 0

    def part(self, part: slice) -> Blend:
        """Return the sums of a slice of entries; what is added to them is added here."""
        return Blend(self.sums[part], self.quality[part], self.view[part], self.agreed)

    def chosen(self, entries: np.ndarray) -> Blend:
        """Return the sums of `entries` alone."""
        return Blend(self.sums[entries], self.quality[entries], self.view[entries], self.agreed)

    def best(self, part: slice = slice(None)) -> np.ndarray:
        """Return the best view's colours, feathered where another view takes over: n×3; 0 where there is none."""
        return _colours(self.sums[part, :4])

    def mean(self, part: slice = slice(None)) -> np.ndarray:
        """Return the mean of the colours, weighted by quality: n×3; 0 where there is none."""
        return _colours(self.sums[part, 4:])


def sharpened(mean: np.ndarray) -> np.ndarray:
    """Return the best view's weights from the mean's."""
    return mean * mean * mean


def _colours(sums: np.ndarray) -> np.ndarray:
    weight = sums[:, 3:]
    return np.divide(sums[:, :3], weight, out=np.zeros((len(sums), 3), np.float32), where=weight > 0)
