"""Carry out what the regions of a picture ask for while it is painted: prompts, strengths, and weights of controls."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from ...core.request import Request
from ..conditioning import weighting
from ..models.cache import Model
from . import holding, regional_attention, regional_blending, regional_norms
from .latent_rolling import Rolling
from .plan import Plan
from .shares import of_prompts


class Regional:
    """The regions of one picture.

    Attributes:
        joined: The prompts that the network reads beside the picture's own.
        hold: See `holding.held`; set while the regions are applied.
    """

    def __init__(self, model: Model, pipe: Any, request: Request, plan: Plan, grid: tuple[int, int]) -> None:
        """Plan how they are painted.

        Args:
            model: The loaded model.
            pipe: Its pipeline.
            request: The request for one picture.
            plan: The plan of the picture or of one tile.
            grid: Rows and columns of the latents, or of the tokens for families that pack them.
        """
        self._model, self._pipe, self._request, self._plan, self._grid = model, pipe, request, plan, grid
        self._texts, self._shares = of_prompts(request, plan.layout, grid)
        self._read = regional_attention.Words(len(self._texts))
        self.joined: Sequence[str] = self._texts if masks_attention(model, pipe) else ()
        self.hold: holding.Hold | None = None

    def words(self, prompt: str, negative: str, skipped: int, joined: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the pipeline's arguments for the prompts of a step, as `weighting.arguments`."""
        if not joined:
            return weighting.arguments(self._pipe, prompt, negative, skipped)
        return self._read.arguments(self._pipe, prompt, joined, negative, skipped)

    @contextmanager
    def applied(self, arguments: Callable[..., dict[str, Any]], rolling: Rolling | None) -> Iterator[None]:
        """Return a context in which the picture is painted by its regions.

        Args:
            arguments: Returns the arguments of the pipeline's call, from (step, steps) and, where it is another, the
                prompt.
            rolling: Rolls the latents of a picture that repeats; None for none.
        """
        model, plan, request = self._model, self._plan, self._request
        with ExitStack() as stack:
            if plan.layout.numbers:
                self.hold = stack.enter_context(holding.held(self._pipe, request, plan.layout, self._grid))
                stack.enter_context(holding.weakened(request, plan.layout, plan.controls.nets, self._grid))
            nets = tuple(dict.fromkeys((model.denoiser, *plan.controls.nets)))  # two controls may share a net
            if self._texts:
                whole = self._shares.with_rest()
                norms = stack.enter_context(regional_norms.by_region(nets, whole))
            if self.joined:
                stack.enter_context(regional_attention.masked(nets, self._read, whole, norms))
            elif self._texts:
                words = regional_blending.words_of(
                    self._pipe, nets, self._texts, lambda text, step, steps: arguments(step, steps, text),
                    request.steps)
                torch.manual_seed(request.seed)  # starting may have drawn from this generator
                stack.enter_context(regional_blending.blended(model.denoiser, self._pipe.scheduler, words, self._shares,
                                                              rolling))
            yield


def masks_attention(model: Model, pipe: Any) -> bool:
    """Return whether this model reads the prompts of regions by masks in its attention; otherwise it is asked once for
    each, and the answers are blended."""
    return isinstance(model.denoiser, UNet2DConditionModel) and weighting.fits(pipe)


def note(model: Model, pipe: Any, request: Request, plan: Plan) -> str:
    """Return the note that says which way the prompts of regions are read, or ""."""
    texts, _ = of_prompts(request, plan.layout, (1, 1))
    if not texts:
        return ""
    if masks_attention(model, pipe):
        return "The prompts of regions are read by masks in the model's attention."
    return (f"The prompts of regions are painted side by side and blended at each step, which takes about "
            f"{len(texts) + 1} times as long.")
