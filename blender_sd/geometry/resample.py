"""Read pictures between their pixels without making them soft, and smooth values without crossing edges."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .slices import Cancelled, each, never

NO_LABEL = np.iinfo(np.int32).min  # of pixels of a smaller picture that show two surfaces
_LOBES = 3  # Lanczos: bilinear reading alone costs a quarter of the sharpness
INSIDE = _LOBES + 2  # pixels from an edge at which all taps lie on the same surface
_ENOUGH = 0.6  # of a kernel's weight: with less on the surface, a softer one is taken
_SOFT = 0.7  # pixels: its width
_COARSER = 1.5  # pixels of the picture per pixel wanted, from which a smaller picture is read
_LEVELS = 4
_SLICE = 1 << 15


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture whose pixels know which surface they show.

    Attributes:
        values: H×W×C float32.
        labels: H×W int32.
        edges: H×W uint8: pixels to the next edge, from 1.
    """

    values: np.ndarray
    labels: np.ndarray
    edges: np.ndarray

    @cached_property
    def smaller(self) -> Layer:
        """The same picture with pixels twice as large; those of two surfaces have none."""
        height, width = (side // 2 * 2 for side in self.labels.shape)
        four = self.values[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
        labels = self.labels[:height, :width].reshape(height // 2, 2, width // 2, 2)
        first = labels[:, :1, :, :1]
        same = (labels == first).all((1, 3))
        edges = self.edges[:height, :width].reshape(height // 2, 2, width // 2, 2).min((1, 3))
        return Layer(four.mean((1, 3), dtype=np.float32), np.where(same, first[:, 0, :, 0], NO_LABEL),
                     np.maximum(1, -(-edges // 2)).astype(np.uint8))

    def read(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray, coarse: np.ndarray, at_edges: bool = True,
             cancelled: Cancelled = never) -> tuple[np.ndarray, np.ndarray]:
        """Return values at places, and whether there are any of the wanted surface.

        Args:
            x, y: N places in pixels.
            labels: N, the surfaces wanted there.
            coarse: N: how many pixels of this picture lie in one of those that are wanted.
            at_edges: Whether pixels at edges count too, which mix two surfaces, where there are hardly any others.
            cancelled: See `slices`.

        Returns:
            N×C float32 and N bool.
        """
        result = np.zeros((len(x), self.values.shape[2]), np.float32)
        sound = np.zeros(len(x), bool)
        level = np.zeros(len(x), np.int64)
        large = coarse > _COARSER
        level[large] = np.clip(np.rint(np.log2(coarse[large])), 1, _LEVELS - 1)
        layer = self
        for number in range(_LEVELS):
            chosen = np.flatnonzero(level == number)
            if len(chosen):
                scale = 0.5**number
                result[chosen], sound[chosen] = layer._sharp(x[chosen] * scale, y[chosen] * scale, labels[chosen],
                                                             at_edges, cancelled)
            if not (level > number).any() or min(layer.labels.shape) < 16:
                break
            layer = layer.smaller
        return result, sound

    def _sharp(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray, at_edges: bool,
               cancelled: Cancelled) -> tuple[np.ndarray, np.ndarray]:
        result = np.zeros((len(x), self.values.shape[2]), np.float32)
        sound = np.zeros(len(x), bool)
        height, width = self.labels.shape

        def some(part: slice) -> None:
            column = np.clip(np.floor(x[part]).astype(np.int64), 0, width - 1)
            row = np.clip(np.floor(y[part]).astype(np.int64), 0, height - 1)
            free = (self.edges[row, column] >= INSIDE) & (self.labels[row, column] == labels[part])
            values, there = np.zeros_like(result[part]), free.copy()
            values[free] = self._lanczos(x[part][free], y[part][free], None)[0]
            rest = np.flatnonzero(~free)
            if len(rest):
                near, weight = self._lanczos(x[part][rest], y[part][rest], labels[part][rest])
                good = weight > _ENOUGH
                values[rest[good]], there[rest[good]] = near[good], True
                poor = rest[~good] if at_edges else rest[:0]
                values[poor], there[poor] = self._soft(x[part][poor], y[part][poor], labels[part][poor])
            result[part], sound[part] = values, there

        each(some, len(x), cancelled, _SLICE)
        return result, sound

    def _lanczos(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return values, and how much of the kernel lay on the surfaces `labels` and away from edges."""
        height, width = self.labels.shape
        flat, kinds, edges = self.values.reshape(height * width, -1), self.labels.ravel(), self.edges.ravel()
        left, top = np.floor(x - 0.5).astype(np.int64), np.floor(y - 0.5).astype(np.int64)
        taps = np.arange(1 - _LOBES, 1 + _LOBES)
        across = _kernel((x - 0.5 - left)[:, None] - taps)
        down = _kernel((y - 0.5 - top)[:, None] - taps)
        across /= across.sum(1, keepdims=True)
        down /= down.sum(1, keepdims=True)
        total, weight = np.zeros((len(x), flat.shape[1]), np.float32), np.zeros(len(x), np.float32)
        low, high = np.full_like(total, np.inf), np.full_like(total, -np.inf)
        for number, step in enumerate(taps):
            start = np.clip(top + step, 0, height - 1) * width
            for place, along in enumerate(taps):
                at = start + np.clip(left + along, 0, width - 1)
                share, values = down[:, number] * across[:, place], flat[at]
                if labels is not None:
                    on = (kinds[at] == labels) & (edges[at] > 1)
                    share = share * on
                    if max(abs(2 * step - 1), abs(2 * along - 1)) <= 3:  # the inner 4×4
                        low = np.minimum(low, np.where(on[:, None], values, np.inf))
                        high = np.maximum(high, np.where(on[:, None], values, -np.inf))
                total += values * share[:, None]
                weight += share
        total /= np.where(np.abs(weight) > 1e-6, weight, 1)[:, None]
        if labels is not None:  # a kernel that lacks taps may swing far
            there = np.isfinite(low) & np.isfinite(high)
            total = np.where(there, np.clip(total, np.where(there, low, 0), np.where(there, high, 0)), total)
        return total, weight

    def _soft(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.labels.shape
        flat, kinds = self.values.reshape(height * width, -1), self.labels.ravel()
        left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        total, weight = np.zeros((len(x), flat.shape[1]), np.float32), np.zeros(len(x), np.float32)
        for step in range(-2, 3):
            row = np.clip(top + step, 0, height - 1)
            for along in range(-2, 3):
                column = np.clip(left + along, 0, width - 1)
                at = row * width + column
                away = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                share = (np.exp(-away / (2 * _SOFT**2)) * (kinds[at] == labels)).astype(np.float32)
                total += flat[at] * share[:, None]
                weight += share
        return total / np.maximum(weight, 1e-12)[:, None], weight > 1e-4


def _kernel(distance: np.ndarray) -> np.ndarray:
    return (np.sinc(distance) * np.sinc(distance / _LOBES) * (np.abs(distance) < _LOBES)).astype(np.float32)


def smoothed(values: np.ndarray, weights: np.ndarray, labels: np.ndarray, levels: int) -> np.ndarray:
    """Return values smoothed within each surface (à trous, Holschneider et al. 1989), over about 2^levels pixels.

    Args:
        values: H×W×C float32.
        weights: H×W float32: how much each pixel counts.
        labels: H×W: nothing passes between pixels with different ones.
        levels: How many times the reach doubles.

    Returns:
        H×W×C float32; 0 where no weight is near.
    """
    total = np.concatenate([values * weights[..., None], weights[..., None]], 2).astype(np.float32)
    for level in range(levels):
        for axis in (0, 1):
            total = _spread(total, labels, 1 << level, axis)
    return total[..., :-1] / np.maximum(total[..., -1:], 1e-12) * (total[..., -1:] > 1e-6)


def _spread(total: np.ndarray, labels: np.ndarray, step: int, axis: int) -> np.ndarray:
    if step >= total.shape[axis]:
        return total
    ahead: list[slice] = [slice(None)] * 2
    behind: list[slice] = [slice(None)] * 2
    ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
    near, far = tuple(behind), tuple(ahead)
    same = (labels[near] == labels[far]).astype(np.float32)[..., None] * 0.25
    result = total * 0.5
    result[near] += total[far] * same
    result[far] += total[near] * same
    lost = np.full((*total.shape[:2], 1), 0.5, np.float32)  # what has no neighbour on its surface stays
    lost[near] -= same
    lost[far] -= same
    return result + total * lost
