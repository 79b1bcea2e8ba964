"""Blend what several pictures show: the best view everywhere, and the weighted mean that levels it at low frequencies.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gather import Reading

# The mean's weights are quality to the power 4, the best view's to the power 12: a view that is better by a tenth then
# has 76 % of the weight, so that borders are narrow, but no steps. Of pictures that agree only the best is taken.
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
        better = quality > np.take(self.quality, entries)
        best = better.astype(np.float32) if self.agreed else np.maximum(sharpened(mean), _LEAST)
        if self.agreed:
            so_far[better, :4] = 0
        rows = np.empty((len(entries), 8), np.float32)
        for start, weight in ((0, best), (4, mean)):
            np.multiply(reading.colours, weight[:, None], out=rows[:, start : start + 3])
            rows[:, start + 3] = weight
        rows += so_far
        self.sums[entries] = rows
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

    def best(self, part: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Return the best view's colours, feathered where another view takes over: n×3; 0 where there is none."""
        return _colours(self.sums[part, :4])

    def mean(self, part: slice = slice(None)) -> np.ndarray:
        """Return the mean of the colours, weighted by quality: n×3; 0 where there is none."""
        return _colours(self.sums[part, 4:])

    def change_best(self, change: np.ndarray) -> None:
        """Add N×3 to the best view's colours."""
        self.sums[:, :3] += change * self.sums[:, 3:4]


def sharpened(mean: np.ndarray) -> np.ndarray:
    """Return the best view's weights from the mean's."""
    return mean * mean * mean


def _colours(sums: np.ndarray) -> np.ndarray:
    weight = sums[:, 3:]
    return np.divide(sums[:, :3], weight, out=np.zeros((len(sums), 3), np.float32), where=weight > 0)
