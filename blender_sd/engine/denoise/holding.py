"""Strengths of regions: where one is lower than the picture's, the source is held until the region's turn comes.

After each step, the places whose own strength asks for fewer steps than are still to come get the source again, noised
as the next step expects it. A region thus begins later than the rest, and from the source.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...core.request import Request
from ..conditioning.regions import Layout
from .shares import Shares, multiplied, weighed

_NOISING = ("add_noise", "scale_noise")  # what schedulers call it: diffusion's, and flow matching's
_SOURCE, _NOISE = ("original_samples", "sample"), ("noise",)  # their parameters

Hold = Callable[[int, torch.Tensor], torch.Tensor]


def strongest(request: Request) -> float:
    """Return the largest strength of a request and its regions."""
    return max([request.task.strength, *(region.strength for region in request.regions if region.strength is not None)])


@contextmanager
def held(pipe: Any, request: Request, layout: Layout, grid: tuple[int, int]) -> Iterator[Hold | None]:
    """Return a context in which regions keep to their strengths.

    Args:
        pipe: The pipeline, with the scheduler of this picture alone.
        request: The request for one picture.
        layout: Where its regions lie.
        grid: Rows and columns of the latents, or of the tokens for families that pack them.

    Yields:
        What returns the latents to go on with, from the number of the scheduler's step that is done (from 0) and its
        latents; None if all strengths are the same.
    """
    strengths = {number: request.regions[number].strength for number in layout.numbers}
    if all(strength is None for strength in strengths.values()):
        yield None
        return
    own = request.task.strength
    steps = {number: int(request.steps * (own if strength is None else strength))
             for number, strength in strengths.items()}
    scheduler, kept = pipe.scheduler, {}
    name = next(name for name in _NOISING if hasattr(scheduler, name))
    noised = getattr(scheduler, name)
    names = inspect.signature(noised).parameters

    def noting(*args: Any, **options: Any) -> torch.Tensor:
        given = inspect.signature(noised).bind(*args, **options).arguments
        kept["source"] = next(given[key] for key in _SOURCE if key in given)
        kept["noise"] = given["noise"]
        return noised(*args, **options)

    def hold(index: int, latents: torch.Tensor) -> torch.Tensor:
        if not kept:
            return latents  # the pipeline starts from noise alone, with nothing to hold
        total, order = len(scheduler.timesteps), max(1, getattr(scheduler, "order", 1))
        ahead = total - index - 1
        left = -(-ahead // order)
        waiting = weighed(layout, [float(left >= steps[number]) for number in layout.numbers],
                          float(left >= int(request.steps * own)))
        if not waiting.any():
            return latents
        source = kept["source"]
        if ahead:
            time = scheduler.timesteps[index + 1].reshape(1)
            by_name = {key: source if key in _SOURCE else kept["noise"] if key in _NOISE else time for key in names}
            source = noised(**by_name)
        source = _in_form(pipe, source, latents)
        return latents if source is None else torch.lerp(
            latents, source.to(latents), Shares(waiting[None], grid).on(latents)[0])

    setattr(scheduler, name, noting)
    try:
        yield hold
    finally:
        delattr(scheduler, name)


def _in_form(pipe: Any, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor | None:
    """Return latents packed as `like` is; None if that is not possible."""
    if value.shape == like.shape:
        return value
    pack = getattr(pipe, "_pack_latents", None)
    if pack is None:
        return None
    sizes = (value, *value.shape[:1], value.shape[1] if value.ndim == 4 else value.shape[-3], *value.shape[-2:])
    packed = pack(*sizes[:len(inspect.signature(pack).parameters)])
    return packed if packed.shape == like.shape else None


@contextmanager
def weakened(request: Request, layout: Layout, nets: tuple[torch.nn.Module, ...],
             grid: tuple[int, int]) -> Iterator[None]:
    """Return a context in which the ControlNets `nets` count in each region as it says."""
    factors = [request.regions[number].control for number in layout.numbers]
    if all(factor == 1 for factor in factors):
        yield
        return
    shares = Shares(weighed(layout, factors, 1.0)[None], grid)
    handles = [net.register_forward_hook(lambda _net, _args, output: multiplied(output, shares)) for net in nets]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
