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
        nets: A denoiser and its ControlNets; those without group norms are left as they are.
        whole: The shares of all regions and of the rest, which are 1 together everywhere.
    """
    changed = [_Norm(part, whole) for net in nets if isinstance(net, torch.nn.Module)
               for part in net.modules() if isinstance(part, torch.nn.GroupNorm)]
    try:
        yield
    finally:
        for norm in changed:
            norm.remove()


class _Norm:
    """Stand in the place of a group norm's `forward`."""

    def __init__(self, norm: torch.nn.GroupNorm, whole: Shares) -> None:
        self._norm, self._whole = norm, whole
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
        own = self._of_regions(torch.stack([
            grouped.mean(2, dtype=torch.float32),
            torch.linalg.vector_norm(grouped, dim=2, dtype=torch.float32).square_().div_(grouped.shape[2])]), shares)
        mean, scale = own[0], (own[1] - own[0].square()).clamp(min=0).add(norm.eps).rsqrt()
        # As a factor and a summand of each channel in each region: (B, C, regions)
        factor = scale.repeat_interleave(grouped.shape[2], 1)
        summand = -mean.repeat_interleave(grouped.shape[2], 1) * factor
        if norm.affine:
            weight = norm.weight.float()[:, None]
            factor, summand = factor * weight, summand * weight + norm.bias.float()[:, None]
        factor, summand = (part.to(value.dtype) @ shares for part in (factor, summand))
        return torch.addcmul(summand, value.reshape(factor.shape), factor).reshape(value.shape)

    def _of_regions(self, values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Return the means of `values` (…, places) over each region: (…, regions) float32."""
        shares = shares.float()
        return (values @ shares.T + values.mean(-1, keepdim=True) * _FEW) / (shares.sum(1) + _FEW)

    def _shares(self, value: torch.Tensor) -> torch.Tensor | None:
        """Return the shares as regions × places for what a norm gets; None where that is not a picture."""
        if value.ndim == 4:
            return self._whole.at(tuple(value.shape[-2:]), value).flatten(1)
        return self._whole.of_queries(value.shape[-1], value) if value.ndim == 3 else None
