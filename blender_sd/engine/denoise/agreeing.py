"""Denoise several views of one object together: at every step, what they predict is made to agree on the surface.

After SyncTweedies (Kim et al. 2024, arXiv:2403.14370): the predicted clean pictures (x0) are blended, never the noisy
ones, whose noise would be averaged away. `scheduler.step` is wrapped; it gets a prediction changed so that its x0 is
the blended one, so every sampler goes on by its own rules.

All samplers of `core.samplers` are covered, and the flow-matching and consistency schedulers of the transformer
families. One limit: DPM++ SDE draws the noise that it adds from a Brownian tree over the whole batch, so that noise is
not attached to the surface.
"""
from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ...geometry import attached_noise
from ...geometry.agreement import Links
from ..conditioning.scheduler_steps import replaced

Agree = Callable[[torch.Tensor, float], torch.Tensor]  # from x0 and the share of the steps that are done, to a new x0


@contextmanager
def agreeing(scheduler: Any, agree: Agree, planes: Callable[[torch.Tensor], torch.Tensor],
             tokens: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Return a context in which `scheduler.step` predicts what `agree` makes of its x0.

    Args:
        scheduler: The pipeline's scheduler.
        agree: Returns the x0 to go on with; the same object if nothing changes, and then the step is the plain one.
        planes: Brings what the scheduler works on to V×C×h×w.
        tokens: The way back.
    """
    original, done = scheduler.step, 0

    def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **options: Any) -> Any:
        nonlocal done
        share, done = done / max(1, len(scheduler.timesteps)), done + 1
        kept, per_sample, per_output = _x0_parts(scheduler, timestep)
        if per_output:
            x0 = planes(kept * sample.float() - per_output * per_sample * model_output.float())
            wanted = agree(x0, share)
            if wanted is not x0:
                change = tokens(wanted - x0) / (-per_output * per_sample)
                model_output = (model_output.float() + change).to(model_output.dtype)
        return original(model_output, timestep, sample, *args, **options)

    with replaced(scheduler, step):
        yield


def _x0_parts(scheduler: Any, timestep: Any) -> tuple[float, float, float]:
    """Return a, b, c so that x0 = a·sample − b·c·output; c is 0 where the output counts for nothing."""
    config = scheduler.config
    kind = config.get("prediction_type") or "flow_prediction"
    name = type(scheduler).__name__
    if name == "SCMScheduler":  # TrigFlow: the timestep is an angle
        angle = float(torch.as_tensor(timestep).flatten()[0])
        return math.cos(angle), 1.0, math.sin(angle)
    if kind == "flow_prediction" or name.startswith("FlowMatch"):
        return 1.0, 1.0, _sigma(scheduler, timestep)
    sigma = _sigma(scheduler, timestep)
    scale = 1 / math.sqrt(1 + sigma * sigma)
    exploding = float(getattr(scheduler, "init_noise_sigma", 1.0)) > 1.0  # samples are x0 + σ·noise
    if kind == "epsilon":
        return (1.0, 1.0, sigma) if exploding else (1 / scale, 1.0, sigma)
    if kind == "v_prediction":
        return (scale * scale if exploding else scale), scale, sigma
    return 0.0, 1.0, -1.0  # it predicts x0 itself


def _sigma(scheduler: Any, timestep: Any) -> float:
    """Return the noise's share of the coming step: over the picture's 1, for flow matching of both together."""
    middle = getattr(scheduler, "mid_point_sigma", None)
    if middle is not None and not scheduler.state_in_first_order:  # DPM++ SDE's second half of a step
        return float(middle)
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and hasattr(scheduler, "_init_step_index"):
        if scheduler.step_index is None:
            scheduler._init_step_index(timestep)
        return float(sigmas[scheduler.step_index])
    product = float(scheduler.alphas_cumprod[int(torch.as_tensor(timestep).flatten()[0])])
    return math.sqrt((1 - product) / product)


class SurfaceBlend:
    """Blend what several views show of the same points."""

    def __init__(self, links: Links, device: torch.device) -> None:
        self._links = links
        self._pixels = torch.from_numpy(links.pixel).to(device)
        self._offsets = None if links.offset is None else torch.from_numpy(links.offset).to(device)

    def __call__(self, values: torch.Tensor, power: float) -> torch.Tensor:
        """Return V×C×h×w values, each pixel on the surface the mean of all that see its point.

        Args:
            values: V×C×h×w float32.
            power: Of the views' quality in their weights: 1 for a mean, high for the best view alone.
        """
        views, channels, height, width = values.shape
        flat = values.permute(0, 2, 3, 1).reshape(-1, channels)
        result = flat.clone()
        for rows in self._links.rows():
            weights = torch.from_numpy(self._links.weights(power, rows)).to(values)
            result[self._pixels[rows, 0]] = sum(
                part * weights[:, column, None] for column, part in enumerate(self.read(flat, rows)))
        return result.reshape(views, height, width, channels).permute(0, 3, 1, 2)

    def read(self, flat: torch.Tensor, rows: slice) -> Iterator[torch.Tensor]:
        """Yield what the linked views show of the points of pixels that see the surface, n×C: first their own.

        Args:
            flat: The values of all views' pixels, row by row, N×C float32.
            rows: Which of the pixels, by their numbers in the links.
        """
        yield flat[self._pixels[rows, 0]]
        for column in range(1, self._pixels.shape[1]):
            yield self._read(flat, rows, column)

    def _read(self, flat: torch.Tensor, rows: slice, column: int) -> torch.Tensor:
        pixels = self._pixels[rows, column]
        if self._offsets is None:
            return flat[pixels]
        right, down = self._offsets[rows, column, :1].to(flat), self._offsets[rows, column, 1:].to(flat)
        last, width = len(flat) - 1, self._links.width
        upper = flat[pixels] * (1 - right) + flat[(pixels + 1).clamp(max=last)] * right
        lower = flat[(pixels + width).clamp(max=last)] * (1 - right) + flat[
            (pixels + width + 1).clamp(max=last)] * right
        return upper * (1 - down) + lower * down


class SurfaceNoise:
    """White noise that sticks to the surface: views get the same number where they see the same point.

    It is read, never interpolated, and each number is given to one pixel of a view only, so that within a view the
    noise stays white and of unit variance.
    """

    def __init__(self, links: Links) -> None:
        size = links.height * links.width
        own = links.pixel[:, 0]
        first = np.where(links.quality > 0, links.pixel, np.iinfo(np.int64).max).min(1)  # in the first view that sees
        order = np.lexsort((own, first, own // size))
        repeated = np.zeros(len(own), bool)
        repeated[order[1:]] = (first[order[1:]] == first[order[:-1]]) & (
            own[order[1:]] // size == own[order[:-1]] // size)
        taken = (first < own) & ~repeated
        self._shape = (links.views, links.height, links.width)
        self._steps = [(torch.from_numpy(own[part]), torch.from_numpy(first[part]))
                       for part in (taken & (own // size == view) for view in range(links.views))]

    def draw(self, channels: int, generator: torch.Generator) -> torch.Tensor:
        """Return noise, V×channels×h×w float32 on the CPU."""
        views, height, width = self._shape
        noise = torch.randn((views * height * width, channels), generator=generator)
        for own, first in self._steps:  # view by view: a number may have been handed on already
            noise[own] = noise[first]
        return noise.reshape(views, height, width, channels).permute(0, 3, 1, 2).contiguous()

    @contextmanager
    def drawn_by(self, pipe: Any, seed: int, variation: tuple[int, float] = (0, 0.0)) -> Iterator[None]:
        """Return a context in which the noise that `pipe` and its scheduler draw for all views sticks to the surface.

        Args:
            pipe: The diffusers pipeline.
            seed: Its seed.
            variation: Another seed towards which the first noise is turned, and how far (`noise.varied`).
        """
        generator, turned = torch.Generator(), False
        started: Any = self  # no pipeline's generator

        def draw(shape: Any, *args: Any, **options: Any) -> torch.Tensor:
            nonlocal started, turned
            channels = self._channels(tuple(shape))
            if not channels:
                return drawn(shape, *args, **options)
            given = args[0] if args else options.get("generator")
            if started is self or given is not None and given is not started:  # the pipeline starts, perhaps again
                started, turned = given, variation[1] > 0
                generator.manual_seed(seed)
            noise = self.draw(channels, generator)
            if turned:
                turned = False
                angle = variation[1] * math.pi / 2
                other = self.draw(channels, torch.Generator().manual_seed(variation[0]))
                noise = noise * math.cos(angle) + other * math.sin(angle)
            return self._shaped(noise, tuple(shape)).to(options.get("device"), options.get("dtype"))

        modules = {sys.modules[type(pipe).prepare_latents.__module__], sys.modules[type(pipe.scheduler).__module__]}
        modules = [module for module in modules if hasattr(module, "randn_tensor")]
        drawn = modules[0].randn_tensor
        for module in modules:
            module.randn_tensor = draw
        try:
            yield
        finally:
            for module in modules:
                module.randn_tensor = drawn

    def _channels(self, shape: tuple[int, ...]) -> int:
        """Return how many channels noise of this shape has; 0 if it is no noise for all views."""
        views, height, width = self._shape
        if shape[0] != views:
            return 0
        if len(shape) == 3 and shape[1] * 4 == height * width:  # tokens of 2×2
            return shape[2] // 4
        still = shape[1:] if len(shape) == 4 else tuple(side for side in shape[1:] if side != 1)
        return still[0] if len(still) == 3 and still[1:] == (height, width) else 0

    def _shaped(self, noise: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return packed(noise) if len(shape) == 3 else noise.reshape(shape)


class AttachedNoise(SurfaceNoise):
    """White noise that sticks to surfaces from frame to frame, whichever frames are painted together."""

    def __init__(self, cells: Sequence[np.ndarray], height: int, width: int) -> None:
        """Prepare to draw.

        Args:
            cells: For each frame what its pixels hold the numbers of (`geometry.attached_noise.cells`).
            height, width: Of the latents.
        """
        self._cells, self._shape = cells, (len(cells), height, width)

    def draw(self, channels: int, generator: torch.Generator) -> torch.Tensor:
        seed = int(torch.randint(1 << 62, (), generator=generator))
        views, height, width = self._shape
        noise = np.stack([attached_noise.drawn(keys, channels, seed) for keys in self._cells])
        return torch.from_numpy(noise).reshape(views, height, width, channels).permute(0, 3, 1, 2).contiguous()


def packed(planes: torch.Tensor) -> torch.Tensor:
    """Return V×C×h×w latents as the tokens of Flux.1 and Qwen-Image: V×(h/2·w/2)×4C."""
    views, channels, height, width = planes.shape
    parts = planes.view(views, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(views, height // 2 * (width // 2), channels * 4)


def unpacked(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return the tokens of Flux.1 and Qwen-Image as V×C×height×width latents."""
    views, _, wide = tokens.shape
    parts = tokens.view(views, height // 2, width // 2, wide // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return parts.reshape(views, wide // 4, height, width)
