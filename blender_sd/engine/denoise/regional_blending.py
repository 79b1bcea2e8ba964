"""Prompts of regions in any model: at each step the model is asked once for each prompt, and what it says is blended.

This works whatever a network is made of, and takes the time of as many pictures as there are prompts (Bar-Tal 2023,
"MultiDiffusion", blends the same). Where guidance asks a second time, for the negative prompt, regions share the
answer.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...core import prompt_steps
from ..conditioning.changing_prompts import Starter, text_in, with_text
from ..conditioning.scheduler_steps import at_steps
from .latent_rolling import Rolling
from .shares import Shares
from .standing_in import Instead

Kept = dict[tuple[int, int], dict[str, Any]]


def words_of(pipe: Any, nets: Sequence[torch.nn.Module], texts: Sequence[str],
             arguments: Callable[[str, int, int], dict[str, Any]], steps: int) -> list[list[Kept]]:
    """Return what the networks get as text at each step for each of `texts`, by starting the pipeline with them.

    Args:
        pipe: The diffusers pipeline.
        nets: Its denoiser and ControlNets.
        texts: The prompts of the regions.
        arguments: Returns the pipeline's arguments for a prompt at a step, from (prompt, step, steps).
        steps: The number of steps of the request.
    """
    begin = Starter(pipe, [net for net in nets if isinstance(net, torch.nn.Module)])
    result = []
    for text in texts:
        kept = {prompt_steps.at_step(text, 1, steps): begin(arguments(text, 1, steps))}
        texts = [prompt_steps.at_step(text, step, begin.steps) for step in range(1, begin.steps + 1)]
        for step, now in enumerate(texts, start=1):
            if now not in kept:
                kept[now] = begin(arguments(text, step, begin.steps))
        result.append([kept[now] for now in texts])
    return result


@contextmanager
def blended(denoiser: torch.nn.Module, scheduler: Any, words: Sequence[Sequence[Kept]], shares: Shares,
            rolling: Rolling | None) -> Iterator[None]:
    """Return a context in which `denoiser` says for each region what its prompt asks for.

    Args:
        denoiser: The network.
        scheduler: What takes the steps of this picture.
        words: What it gets as text for each region at each step (`words_of`).
        shares: Where each region's prompt holds.
        rolling: Rolls the latents of a picture that repeats; None for none.
    """
    forward = denoiser.forward
    order = max(1, getattr(scheduler, "order", 1))
    done = calls = 0

    def next_step() -> None:
        nonlocal done, calls
        done, calls = done + 1, 0

    def asked(*args: Any, **options: Any) -> Any:
        nonlocal calls
        place, base = (0, calls), forward(*args, **options)
        calls += 1
        here = text_in(denoiser, args, options)
        answers = [base]
        for kept in words:
            text = kept[min(done // order, len(kept) - 1)].get(place, here)
            if _same(text, here):
                answers.append(base)
            else:
                args_there, options_there = with_text(denoiser, args, options, text)
                answers.append(forward(*args_there, **options_there))
        return _mixed(answers, shares, rolling)

    instead = Instead(denoiser, asked)
    try:
        with at_steps(scheduler, next_step):
            yield
    finally:
        instead.remove()


def _same(one: Any, other: Any) -> bool:
    """Return whether two texts are equal, whatever holds their tensors."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or (type(one) is type(other) and one == other)


def _mixed(answers: Sequence[Any], shares: Shares, rolling: Rolling | None) -> Any:
    """Return the first of the `answers`, the picture's, with those of the regions in their places."""
    first = answers[0]
    if isinstance(first, torch.Tensor):
        maps = shares.on(first)
        if rolling is not None:
            maps = torch.stack([rolling.roll(part) for part in maps])
        return first + sum((answer - first) * part for answer, part in zip(answers[1:], maps, strict=True))
    if isinstance(first, list):  # Z-Image's
        return [_mixed(parts, shares, rolling) for parts in zip(*answers, strict=True)]
    if isinstance(first, tuple):
        return _mixed([answer[0] for answer in answers], shares, rolling), *first[1:]
    first.sample = _mixed([answer.sample for answer in answers], shares, rolling)
    return first
