"""Group norms of a UNet by region: each part of the picture is normalised by its own mean and spread.

A group norm divides by the spread of the whole picture. Where regions show different things, the calmest of them would
be scaled by the liveliest, and each would come out as a mixture that none of the prompts asks for. So the sums run over
each region alone, as they would if the picture showed nothing else; at soft edges the results mix by the shares.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from .shares import Shares

_FEW = 4  # places; a region of so many leans as much on the whole picture as on itself


@contextmanager
def by_region(nets: Sequence[torch.nn.Module], whole: Shares) -> Iterator[None]:
    """Return a context in which the group norms of `nets` heed the regions.

    Args:
        nets: A denoiser and its ControlNets, some perhaps twice; those without group norms are left as
            they are.
        whole: The shares of all regions and of the rest, which are 1 together everywhere.
    """
    room = _Room()
    norms = dict.fromkeys(part for net in nets if isinstance(net, torch.nn.Module)
                          for part in net.modules() if isinstance(part, torch.nn.GroupNorm))
    changed = [_Norm(norm, whole, room) for norm in norms]
    try:
        yield
    finally:
        for norm in changed:
            norm.remove()


class _Room:
    """Hold the squares that norms need for a moment: fresh memory for each would take longer than the squares."""

    def __init__(self) -> None:
        self._kept: torch.Tensor | None = None

    def squares(self, value: torch.Tensor) -> torch.Tensor:
        """Return the squares of a tensor, valid until the next call."""
        if self._kept is None or self._kept.numel() < value.numel() or self._kept.device != value.device:
            self._kept = torch.empty(value.numel(), device=value.device)
        return torch.mul(value, value, out=self._kept[:value.numel()].view(value.shape))


class _Norm:
    """Stand in the place of a group norm's `forward`."""

    def __init__(self, norm: torch.nn.GroupNorm, whole: Shares, room: _Room) -> None:
        self._norm, self._whole, self._room = norm, whole, room
        self._own, self._forward = norm.__dict__.get("forward"), norm.forward
        norm.forward = self._normalised

    def remove(self) -> None:
        """Leave the norm as it was."""
        if self._own is None:
            del self._norm.forward
        else:
            self._norm.forward = self._own

    def _normalised(self, value: torch.Tensor) -> torch.Tensor:
        """Return what `torch.nn.GroupNorm` does for (B, C, rows, columns) or (B, C, places), by region."""
        shares = self._shares(value)
        if shares is None:
            return self._forward(value)
        norm, batch, channels = self._norm, len(value), value.shape[1]
        grouped = value.reshape(batch, norm.num_groups, channels // norm.num_groups, -1)
        exact = grouped.float()
        mean, squares = self._of_regions(torch.stack([exact.mean(2), self._room.squares(exact).mean(2)]), shares)
        scale = (squares - mean.square()).clamp(min=0).add(norm.eps).rsqrt()
        # As a factor and a summand of each group at each place
        factor, summand = (torch.stack([scale, -mean * scale]).to(value.dtype) @ shares)[:, :, :, None]
        result = torch.addcmul(summand, grouped, factor).reshape(value.shape)
        if norm.affine:
            by_channel = (-1, *(1,) * (value.ndim - 2))
            result = result.mul_(norm.weight.view(by_channel)).add_(norm.bias.view(by_channel))
        return result

    def _of_regions(self, values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Return the means of `values` (…, places) over each region: (…, regions) float32."""
        shares = shares.float()
        return (values @ shares.T + values.mean(-1, keepdim=True) * _FEW) / (shares.sum(1) + _FEW)

    def _shares(self, value: torch.Tensor) -> torch.Tensor | None:
        """Return the shares as regions × places for what a norm gets; None where that is not a picture."""
        if value.ndim == 4:
            return self._whole.at(tuple(value.shape[-2:]), value).flatten(1)
        return self._whole.of_queries(value.shape[-1], value) if value.ndim == 3 else None
