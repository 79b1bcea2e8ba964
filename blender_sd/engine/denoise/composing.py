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
    flat = values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])
    made = flat.clone()
    reach = max(2.0, _REACH * min(links.height, links.width))
    for rows in links.rows():
        shown = np.stack([part.numpy() for part in blend.read(flat, rows)], 1)
        best = links.quality[rows].argmax(1)
        pairs = _neighbours(links, rows)
        border, change = _changes(links, rows, shown, best, pairs)
        taken = shown[np.arange(len(best)), best]
        taken = taken + closing.corrections(len(best), pairs, border, change, reach, lambda: check() is not None)
        made[torch.from_numpy(links.pixel[rows, 0])] = torch.from_numpy(taken)
    result = made.reshape(links.views, links.height, links.width, -1).permute(0, 3, 1, 2)
    return levelled(result, blend(values, MEAN), links)


def levelled(values: torch.Tensor, mean: torch.Tensor, links: Links) -> torch.Tensor:
    """Return V×C×H×W `values` whose slow variation is that of `mean`, where anything is seen."""
    seen, result = _seen(links).to(values), torch.empty_like(values)
    for view in range(links.views):
        own = slice(view, view + 1)
        result[own] = values[own] + seen[own] * _smooth(mean[own] - values[own], seen[own], links)
    return result


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


def _neighbours(links: Links, rows: slice) -> np.ndarray:
    """Return which rows of a view are of pixels that are neighbours in it, counted from its first row: 2×P."""
    own = links.pixel[rows, 0]
    at = np.full(links.height * links.width, -1)
    at[own % at.size] = np.arange(len(own))
    at = at.reshape(links.height, links.width)
    pairs = []
    for first, second in ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:])):
        both = (first >= 0) & (second >= 0)
        pairs.append(np.stack([first[both], second[both]]))
    return np.concatenate(pairs, 1)


def _changes(links: Links, rows: slice, shown: np.ndarray, best: np.ndarray, pairs: np.ndarray
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs at which the best view changes (n indices), and by how much their steps are to change, n×C.

    Args:
        links, rows: Of the pixels.
        shown: n×K×C, what each linked view shows of these rows.
        best: n, which of them is the best.
        pairs: 2×P, counted from the first of the rows.
    """
    views, quality = links.pixel[rows] // (links.height * links.width), links.quality[rows]
    view = views[np.arange(len(best)), best]
    border = np.flatnonzero(view[pairs[0]] != view[pairs[1]])
    mine, others = view[pairs[:, border]], view[pairs[::-1, border]]
    differences = []
    for place, other, sign in zip(pairs[:, border], others, (1, -1)):
        there = (views[place] == other[:, None]) & (quality[place] > 0)
        difference = shown[place, there.argmax(1)] - shown[place, best[place]]
        difference[~there.any(1)] = np.nan
        differences.append(sign * difference)
    return border, closing.change_of(differences[0], differences[1], mine)
