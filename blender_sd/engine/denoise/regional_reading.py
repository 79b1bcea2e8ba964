"""Cross-attention in which each place of the picture reads the words of its own regions alone.

The words of all prompts lie side by side. A place that is of one region alone is asked only for that region's words; in
the few places at soft edges the scores of a region's words are lowered by the logarithm of its share. That is the same
as lowering all scores so, without the time of the words that do not count. Attention that is not torch's own (xformers)
gets the lowered scores as a mask.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from .shares import Shares

_ALONE = 1 - 1e-4  # the share from which on a place is of one region


class Readings:
    """What the cross-attentions of one picture read at each place; made once for each resolution."""

    def __init__(self, whole: Shares) -> None:
        """Start with the shares of all regions and of the rest, which are 1 together everywhere."""
        self._whole = whole
        self._made: dict[tuple, Reading] = {}

    def of(self, hidden: torch.Tensor, text: torch.Tensor) -> Reading | None:
        """Return how a layer that holds the picture as `hidden`, (B, places, C) or (B, C, rows, columns), reads `text`,
        (B, words of all prompts, C); None if that is no picture or these are not the words."""
        places = hidden.shape[1] if hidden.ndim == 3 else hidden.shape[-2] * hidden.shape[-1]
        shares = self._whole.of_queries(places, hidden)
        if shares is None or text.shape[1] % len(shares):
            return None
        key = places, text.shape[1], hidden.dtype, hidden.device
        if key not in self._made:
            self._made[key] = Reading(shares, text.shape[1] // len(shares))
        return self._made[key]


class Reading(TorchFunctionMode):
    """A context in which torch's attention over words goes by the places.

    Attributes:
        mask: What is added to all scores, (1, places, words).
    """

    def __init__(self, shares: torch.Tensor, words: int) -> None:
        """Plan it.

        Args:
            shares: Of each region, regions × places.
            words: The number of words of one prompt.
        """
        super().__init__()
        most, number = shares.max(0)
        number[most <= _ALONE] = len(shares)  # at soft edges, after all regions
        self._words = words
        self._counts = torch.bincount(number, minlength=len(shares) + 1).tolist()
        self._order = number.argsort(stable=True)
        self._back = self._order.argsort()
        self.mask = shares.log().T.repeat_interleave(words, 1)[None]
        self._edges = self.mask[0, self._order[len(number) - self._counts[-1]:]]

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention or args[1].shape[2] != self.mask.shape[2]:
            return func(*args, **kwargs)
        return self._read(*args[:3], scale=kwargs.get("scale"))

    def _read(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
        """Return the attention of (B, heads, places, width) to (B, heads, words, width)."""
        # Heads lie inside places in memory: whole places are moved
        places = query.transpose(1, 2).index_select(1, self._order).split(self._counts, 1)
        answers = []
        for region, asking in enumerate(places[:-1]):
            if asking.shape[1]:
                words = slice(region * self._words, (region + 1) * self._words)
                answers.append(scaled_dot_product_attention(asking.transpose(1, 2), key[:, :, words],
                                                            value[:, :, words], scale=scale))
        if self._counts[-1]:
            answers.append(scaled_dot_product_attention(places[-1].transpose(1, 2), key, value,
                                                        attn_mask=self._edges.to(query.dtype), scale=scale))
        return torch.cat([answer.transpose(1, 2) for answer in answers], 1).index_select(1, self._back).transpose(1, 2)
