"""Compose finished views: each shows what the best view of its points shows, without steps and without blur between."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...geometry import closing
from ...geometry.agreement import Links
from .agreeing import SurfaceBlend

MEAN = 4.0  # the power of quality in the mean of what varies slowly
_LEVEL = 0.1  # of a view's side: the width over which differences between views are levelled
_REACH = 0.03  # of a view's side: how far a correction of a step reaches


def composed(links: Links, values: torch.Tensor, check: Callable[[], None]) -> torch.Tensor:
    """Return views with the details of the best views of their points, on the mean of what varies slowly.

    Args:
        links: Which pixels see the same points.
        values: V×C×H×W float32.
        check: Raises to cancel.
    """
    blend = SurfaceBlend(links, torch.device("cpu"))
    rows = np.arange(len(links.pixel))
    best = links.quality.argmax(1)
    shown = np.stack([part.numpy() for part in blend.read(values)], 1)
    taken = shown[rows, best]
    pairs = _neighbours(links)
    border, change = _changes(links, shown, best, pairs)
    reach = max(2.0, _REACH * min(links.height, links.width))
    taken = taken + closing.corrections(len(rows), pairs, border, change, reach, lambda: check() is not None)
    flat = values.permute(0, 2, 3, 1).reshape(-1, values.shape[1]).clone()
    flat[torch.from_numpy(links.pixel[:, 0])] = torch.from_numpy(taken)
    result = flat.reshape(links.views, links.height, links.width, -1).permute(0, 3, 1, 2)
    return levelled(result, blend(values, MEAN), links)


def levelled(values: torch.Tensor, mean: torch.Tensor, links: Links) -> torch.Tensor:
    """Return V×C×H×W `values` whose slow variation is that of `mean`, where anything is seen."""
    seen = _seen(links).to(values)
    return values + seen * _smooth(mean - values, seen, links)


def _seen(links: Links) -> torch.Tensor:
    """Return V×1×H×W, 1 where the surface is seen, else 0."""
    seen = torch.zeros(links.views * links.height * links.width)
    seen[torch.from_numpy(links.pixel[:, 0])] = 1
    return seen.reshape(links.views, 1, links.height, links.width)


def _smooth(values: torch.Tensor, seen: torch.Tensor, links: Links) -> torch.Tensor:
    """Return V×C×H×W values averaged over what is `seen` round each pixel."""
    side = max(3, round(min(links.height, links.width) * _LEVEL)) // 2 * 2 + 1
    total, count = values * seen, seen
    for _ in range(3):  # near a bell curve
        total, count = _pooled(total, side), _pooled(count, side)
    return total / count.clamp(min=1e-6)


def _pooled(values: torch.Tensor, side: int) -> torch.Tensor:
    """Return means over squares; rows and then columns, as squares at once take `side` times as long."""
    rows = torch.nn.functional.avg_pool2d(values, (side, 1), 1, (side // 2, 0))
    return torch.nn.functional.avg_pool2d(rows, (1, side), 1, (0, side // 2))


def _neighbours(links: Links) -> np.ndarray:
    """Return the rows of `links` whose pixels are neighbours in a view, 2×P."""
    at = np.full(links.views * links.height * links.width, -1)
    at[links.pixel[:, 0]] = np.arange(len(links.pixel))
    at = at.reshape(links.views, links.height, links.width)
    pairs = []
    for first, second in ((at[:, :, :-1], at[:, :, 1:]), (at[:, :-1], at[:, 1:])):
        both = (first >= 0) & (second >= 0)
        pairs.append(np.stack([first[both], second[both]]))
    return np.concatenate(pairs, 1)


def _changes(links: Links, shown: np.ndarray, best: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs at which the best view changes (n indices), and by how much their steps are to change, n×C.

    Args:
        links: Of the pixels.
        shown: M×K×C, what each linked view shows.
        best: M, which of them is the best.
        pairs: 2×P, rows of these.
    """
    views = links.pixel // (links.height * links.width)
    view = views[np.arange(len(best)), best]
    border = np.flatnonzero(view[pairs[0]] != view[pairs[1]])
    mine, others = view[pairs[:, border]], view[pairs[::-1, border]]
    differences = []
    for rows, other, sign in zip(pairs[:, border], others, (1, -1)):
        there = (views[rows] == other[:, None]) & (links.quality[rows] > 0)
        difference = shown[rows, there.argmax(1)] - shown[rows, best[rows]]
        difference[~there.any(1)] = np.nan
        differences.append(sign * difference)
    return border, closing.change_of(differences[0], differences[1], mine)
