"""Prompts that change while a picture is painted, [a:b:0.5] and [a|b], in every family.

Pipelines encode their prompt once and pass the same text features to the denoiser at each step. So before the picture
the pipeline is started once for each text, up to its first step, and what it passes as text to the denoiser and to
ControlNets is kept. During the picture, each step gets its own text. A text costs its encoding, and for some families
one call of the denoiser.
"""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...core import prompt_steps
from ...core.request import Request
from .scheduler_steps import at_steps

# The parameters of diffusers' denoisers and ControlNets that hold text: features, masks, positions, lengths, pooled
# ones.
_TEXT = frozenset(("encoder_hidden_states", "encoder_hidden_states_mask", "encoder_attention_mask",
                   "pooled_projections", "txt_ids",
                   "txt_seq_lens", "cap_feats"))
_ADDED = ("added_cond_kwargs", "text_embeds")  # SDXL's; the dictionary holds other values too
_Kept = dict[tuple[int, int], dict[str, Any]]  # by network, and number of its call within a step


class _Started(Exception):
    """The first step was reached."""


@contextmanager
def words(pipe: Any, nets: Sequence[torch.nn.Module], request: Request,
          arguments: Callable[[int, int], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return a context in which the denoiser reads, at each step, what the request's prompts say there.

    Args:
        pipe: The diffusers pipeline.
        nets: Its denoiser and ControlNets.
        request: The request for one picture.
        arguments: Returns the pipeline's arguments for the text of a step, from (step, steps).

    Yields:
        The arguments to call `pipe` with. Errors raised while the pipeline starts pass through.
    """
    prompts = request.prompts
    if not any(map(prompt_steps.changes, prompts)):
        yield arguments(1, request.steps)
        return
    nets = [net for net in nets if isinstance(net, torch.nn.Module)]
    begin = Starter(pipe, nets)
    # The start also counts the steps: image-to-image skips some.
    first = begin(arguments(1, request.steps))
    texts = [tuple(prompt_steps.at_step(text, step, begin.steps) for text in prompts)
             for step in range(1, begin.steps + 1)]
    start = tuple(prompt_steps.at_step(text, 1, request.steps) for text in prompts)
    kept = {start: first}
    for step, text in enumerate(texts, start=1):
        if text not in kept:
            kept[text] = begin(arguments(step, begin.steps))
    torch.manual_seed(request.seed)  # starting may have drawn from this generator
    with _replaced(pipe, nets, [kept[text] for text in texts]):
        yield arguments(1, begin.steps)


class Starter:
    """Start a pipeline and keep what its networks get as text.

    Attributes:
        steps: The number of steps, known after the first start.
    """

    def __init__(self, pipe: Any, nets: Sequence[torch.nn.Module]) -> None:
        self.steps = 0
        self._pipe, self._nets = pipe, nets
        self._last: tuple[int, int] | None = None  # the last call before the first step's end

    def __call__(self, arguments: dict[str, Any]) -> _Kept:
        kept: _Kept = {}
        counts = [0] * len(self._nets)

        def before(number: int, net: torch.nn.Module, args: tuple, options: dict) -> None:
            place = number, counts[number]
            kept[place] = text_in(net, args, options)
            counts[number] += 1
            if place == self._last:  # the denoiser's output is not needed
                raise _Started

        def stepped(*_args: Any, **_options: Any) -> None:
            raise _Started

        scheduler = self._pipe.scheduler
        self._pipe.scheduler = fresh = type(scheduler).from_config(scheduler.config)
        fresh.step = functools.wraps(fresh.step)(stepped)
        handles = _hooked(self._nets, before)
        try:
            self._pipe(**arguments)
        except _Started:
            pass
        finally:
            self._pipe.scheduler = scheduler
            for handle in handles:
                handle.remove()
        self._last = self._last or next(reversed(kept), None)
        self.steps = self.steps or _steps(self._pipe, fresh)
        return kept


@contextmanager
def _replaced(pipe: Any, nets: Sequence[torch.nn.Module], kept: Sequence[_Kept]) -> Iterator[None]:
    """Return a context in which `nets` get the text that was `kept` for each step."""
    order = max(1, getattr(pipe.scheduler, "order", 1))
    done = 0
    counts = [0] * len(nets)

    def next_step() -> None:
        nonlocal done
        done += 1
        counts[:] = [0] * len(nets)

    def before(number: int, net: torch.nn.Module, args: tuple, options: dict) -> tuple[tuple, dict]:
        text = kept[min(done // order, len(kept) - 1)].get((number, counts[number]), {})
        counts[number] += 1
        return with_text(net, args, options, text)

    handles = _hooked(nets, before)
    try:
        with at_steps(pipe.scheduler, next_step):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _hooked(nets: Sequence[torch.nn.Module], before: Callable) -> list[Any]:
    """Have `before(number, net, args, options)` called before each call of a network. Return the hooks' handles."""
    return [net.register_forward_pre_hook(functools.partial(before, number), with_kwargs=True)
            for number, net in enumerate(nets)]


def _steps(pipe: Any, scheduler: Any) -> int:
    """Return how many steps the pipeline has set up, as people count them."""
    calls = getattr(pipe, "num_timesteps", None) or len(scheduler.timesteps)
    return max(1, -(-calls // max(1, getattr(scheduler, "order", 1))))


def text_in(net: torch.nn.Module, args: tuple, options: dict) -> dict[str, Any]:
    named = {**dict(zip(_names(net), args, strict=False)), **options}
    text = {name: value for name, value in named.items() if name in _TEXT}
    added = named.get(_ADDED[0])
    if isinstance(added, dict) and _ADDED[1] in added:
        text[_ADDED[1]] = added[_ADDED[1]]
    return text


def with_text(net: torch.nn.Module, args: tuple, options: dict, text: dict[str, Any]) -> tuple[tuple, dict]:
    pooled = text.get(_ADDED[1])

    def changed(name: str, value: Any) -> Any:
        if name == _ADDED[0] and pooled is not None:
            return {**value, _ADDED[1]: pooled}
        return text.get(name, value)

    return (tuple(changed(name, value) for name, value in zip(_names(net), args, strict=False)),
            {name: changed(name, value) for name, value in options.items()})


@functools.lru_cache(maxsize=64)
def _parameters(kind: type) -> tuple[str, ...]:
    return tuple(inspect.signature(kind.forward).parameters)[1:]


def _names(net: torch.nn.Module) -> tuple[str, ...]:
    return _parameters(type(net))
