"""Group norms of a UNet by region: each part of the picture is normalised by its own mean and spread.

A group norm divides by the spread of the whole picture. Where regions show different things, the calmest of them would
be scaled by the liveliest, and each would come out as a mixture that none of the prompts asks for. So the sums run over
each region alone, as they would if the picture showed nothing else; at soft edges the results mix by the shares.

Sums are products of a matrix regions × places with the picture, and what a norm does to its places are products of the
shares with a few rows. So a norm reads the picture a few times, whatever the number of regions, and leaves it in the
memory layout that it has.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from .shares import Shares
from .standing_in import Instead

_FEW = 4  # places; a region of so many leans as much on the whole picture as on itself


@contextmanager
def by_region(nets: Sequence[torch.nn.Module], whole: Shares) -> Iterator[Norms]:
    """Return a context in which the group norms of `nets` heed the regions.

    Args:
        nets: A denoiser and its ControlNets, some perhaps twice; those without group norms are left as
            they are.
        whole: The shares of all regions and of the rest, which are 1 together everywhere.
    """
    norms = Norms(nets, whole)
    try:
        yield norms
    finally:
        norms.remove()


class Norms:
    """The group norms of some networks, by region."""

    def __init__(self, nets: Sequence[torch.nn.Module], whole: Shares) -> None:
        """Change the norms; see `by_region`."""
        weights = _Weights(whole)
        parts = dict.fromkeys(part for net in nets if isinstance(net, torch.nn.Module)
                              for part in net.modules() if isinstance(part, torch.nn.GroupNorm))
        self._changed = {part: _Norm(part, weights) for part in parts}

    def modulate(self, norm: torch.nn.GroupNorm, change: torch.Tensor) -> None:
        """Have the next output of `norm` multiplied by 1 + a factor and shifted, each region by its own.

        Args:
            norm: A norm of the networks that gets a picture with rows and columns.
            change: The factors and, behind them, the summands of its channels, (regions, B, 2 C).
        """
        self._changed[norm].change = change

    def remove(self) -> None:
        """Leave the norms as they were."""
        for norm in self._changed.values():
            norm.remove()


class _Places(NamedTuple):
    """The places of a picture at one resolution.

    Attributes:
        weights: How much each counts in each region's mean, regions × places, float32.
        shares: How far each is of each region, places × regions, in the picture's type.
    """

    weights: torch.Tensor
    shares: torch.Tensor


class _Weights:
    """What norms of one picture share: weights of its places, and memory for squares, since fresh memory for each would
    take longer than the squares."""

    def __init__(self, whole: Shares) -> None:
        self._whole = whole
        self._made: dict[tuple, _Places] = {}
        self._room: torch.Tensor | None = None

    def of(self, value: torch.Tensor) -> _Places | None:
        """Return what a norm that gets `value`, (B, C, rows, columns) or (B, C, places), needs; None if that is no
        picture."""
        key = (*value.shape[2:], value.dtype, value.device)
        if key not in self._made:
            shares = (self._whole.at(tuple(value.shape[2:]), value).flatten(1) if value.ndim == 4 else
                      self._whole.of_queries(value.shape[-1], value) if value.ndim == 3 else None)
            if shares is None:
                return None
            exact = shares.float()
            weights = (exact + _FEW / shares.shape[1]) / (exact.sum(1, keepdim=True) + _FEW)
            self._made[key] = _Places(weights, shares.T.to(value.dtype).contiguous())
        return self._made[key]

    def squares(self, value: torch.Tensor) -> torch.Tensor:
        """Return the squares of a float32 tensor in its memory layout, valid until the next call."""
        if self._room is None or self._room.numel() < value.numel() or self._room.device != value.device:
            self._room = torch.empty(value.numel(), device=value.device)
        return torch.mul(value, value, out=self._room[:value.numel()].as_strided(value.shape, value.stride()))


class _Norm(Instead):
    """Stand in the place of a group norm's `forward`.

    Attributes:
        change: Of its next output by region (`Norms.modulate`).
    """

    def __init__(self, norm: torch.nn.GroupNorm, weights: _Weights) -> None:
        super().__init__(norm, self._normalised)
        self._norm, self._weights = norm, weights
        self.change: torch.Tensor | None = None

    def _normalised(self, value: torch.Tensor) -> torch.Tensor:
        """Return what `torch.nn.GroupNorm` does for (B, C, rows, columns) or (B, C, places), by region."""
        places = self._weights.of(value)
        if places is None:
            return self.forward(value)
        pixels = value.flatten(2).transpose(1, 2)  # no copy if channels lie last
        factor, summand = (table.to(value.dtype) for table in self._tables(pixels, places.weights))
        return _applied(pixels, places.shares, factor, summand).transpose(1, 2).unflatten(2, value.shape[2:])

    def _tables(self, pixels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what (B, places, C) is multiplied by and what is added, for each region and channel: (B, regions, C).
        """
        norm, exact = self._norm, pixels.float()
        mean, squares = (torch.matmul(weights, part).unflatten(2, (norm.num_groups, -1)).mean(3, keepdim=True)
                         for part in (exact, self._weights.squares(exact)))
        scale = (squares - mean.square()).clamp(min=0).add(norm.eps).rsqrt()
        factor, summand = scale, -mean * scale
        if norm.affine:
            by_group = (norm.num_groups, -1)
            weight, bias = norm.weight.float().view(by_group), norm.bias.float().view(by_group)
            factor, summand = factor * weight, summand * weight + bias
        else:
            by_group = (-1, -1, -1, pixels.shape[2] // norm.num_groups)
            factor, summand = factor.expand(by_group), summand.expand(by_group)
        factor, summand = factor.flatten(2), summand.flatten(2)
        if self.change is not None:
            more, shift = self.change.transpose(0, 1).float().chunk(2, 2)
            self.change = None
            factor, summand = torch.addcmul(factor, factor, more), torch.addcmul(summand + shift, summand, more)
        return factor, summand


def _applied(pixels: torch.Tensor, shares: torch.Tensor, factor: torch.Tensor, summand: torch.Tensor) -> torch.Tensor:
    """Return (B, places, C) times what `factor`, (B, regions, C), makes of each place, plus what `summand` does, in the
    memory layout of `pixels`.

    Products with the shares take a third of the time of looking rows up.
    """
    if pixels.stride(2) == 1:
        return torch.baddbmm(torch.matmul(shares, factor).mul_(pixels), shares.expand(len(pixels), -1, -1), summand)
    across = shares.T.expand(len(pixels), -1, -1)
    scaled = torch.matmul(factor.transpose(1, 2), shares.T).mul_(pixels.transpose(1, 2))
    return torch.baddbmm(scaled, summand.transpose(1, 2), across).transpose(1, 2)
