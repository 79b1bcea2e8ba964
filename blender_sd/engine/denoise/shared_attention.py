"""Let every view's self-attention look at its neighbours, and early on at the front view (as SyncMVD does).

UNets and SD 3: their attention takes any tokens of pictures as keys. The transformers of Flux.1, Qwen-Image and Z-Image
turn keys by their place in the picture, so that a neighbour's would count for what lies at the same place of the
screen, which is another point of the surface; SANA's attention is linear. Their views agree through the surface alone.

Neighbours are read at half resolution where a layer has many tokens, which costs an eighth of full sharing. With views
in several batches (`micro_batches`), a view attends to what its neighbours' layers held last: in this step if they came
before it, otherwise in the step before.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import JointAttnProcessor2_0

from .standing_in import Instead

_MANY = 256  # tokens from which neighbours are read at half resolution


class Sharing:
    """What views attend to besides themselves.

    Attributes:
        share: The share of the steps that are done; beyond `until` nothing is shared.
        views: The numbers of the views in the batch at hand.
    """

    def __init__(self, neighbours: Sequence[Sequence[int]], grid: tuple[int, int], until: float = 0.5,
                 front_until: float = 0.25) -> None:
        """Prepare to share.

        Args:
            neighbours: For each view the numbers of others, the nearest first; an equal number for all.
            grid: Rows and columns of the latents.
            until: The share of the steps up to which views attend to neighbours.
            front_until: That up to which they attend to the first view as well.
        """
        self.share, self.views = 0.0, list(range(len(neighbours)))
        self._neighbours, self._grid = [list(some) for some in neighbours], grid
        self._until, self._front_until = until, front_until
        self._kept: dict[tuple[str, int], torch.Tensor] = {}

    def wanted(self) -> bool:
        """Return whether anything is shared at this step."""
        return self.share < self._until and any(self._neighbours)

    def tokens(self, layer: str, hidden: torch.Tensor) -> torch.Tensor:
        """Return what a layer's views attend to: `hidden` (B×N×C) itself, and others' tokens behind it.

        The batch holds the views once, or twice for guidance.
        """
        rounds = hidden.shape[0] // len(self.views)
        kept = self._thinned(hidden)
        whole = len(self.views) == len(self._neighbours)
        for row in range(0 if whole else hidden.shape[0]):
            turn, place = divmod(row, len(self.views))
            self._kept[layer, turn * len(self._neighbours) + self.views[place]] = kept[row].detach()
        columns = len(self._neighbours[0])
        parts = [hidden]
        for column in range(columns):
            parts.append(self._of(layer, kept, [self._neighbours[view][column] for view in self.views], rounds, whole))
        if self.share < self._front_until:
            parts.append(self._of(layer, kept, [0] * len(self.views), rounds, whole))
        return torch.cat(parts, 1)

    def _of(self, layer: str, kept: torch.Tensor, wanted: list[int], rounds: int, whole: bool) -> torch.Tensor:
        total = len(self._neighbours)
        if whole:
            return kept[[turn * total + view for turn in range(rounds) for view in wanted]]
        rows = []
        for turn in range(rounds):
            for place, view in enumerate(wanted):
                rows.append(self._kept.get((layer, turn * total + view), kept[turn * len(wanted) + place]))
        return torch.stack(rows)

    def _thinned(self, hidden: torch.Tensor) -> torch.Tensor:
        count = hidden.shape[1]
        factor = math.sqrt(self._grid[0] * self._grid[1] / count)
        rows, columns = round(self._grid[0] / factor), round(self._grid[1] / factor)
        if count < _MANY or rows * columns != count:
            return hidden
        return hidden.unflatten(1, (rows, columns))[:, ::2, ::2].flatten(1, 2)


class _Shared:
    """An attention processor that shows the layer more tokens than its own."""

    def __init__(self, layer: str, plain: Any, sharing: Sharing) -> None:
        self.layer, self.plain, self.sharing = layer, plain, sharing

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None,
                 *args: Any, **options: Any) -> torch.Tensor:
        fits = encoder_hidden_states is None and hidden_states.ndim == 3 and not (
            hidden_states.shape[0] % len(self.sharing.views))
        if fits and self.sharing.wanted():
            encoder_hidden_states = self.sharing.tokens(self.layer, hidden_states)
        return self.plain(attn, hidden_states, encoder_hidden_states, *args, **options)


def _longer(layer: str, sharing: Sharing) -> Callable[[Any, tuple, torch.Tensor], torch.Tensor | None]:
    """Return a hook that lengthens a layer's keys or values by those of other views; words have layers of their own."""
    def hook(_module: Any, _args: tuple, output: torch.Tensor) -> torch.Tensor | None:
        if output.ndim != 3 or output.shape[0] % len(sharing.views) or not sharing.wanted():
            return None
        return sharing.tokens(layer, output)

    return hook


@contextmanager
def shared(denoiser: Any, sharing: Sharing) -> Iterator[None]:
    """Return a context in which the attention of `denoiser` to its own picture is shared among views, if it can be."""
    layers = [(name, module) for name, module in denoiser.named_modules()
              if name.endswith("attn1") and hasattr(module, "processor")]
    plain = [module.processor for _, module in layers]
    for (name, module), own in zip(layers, plain):
        module.processor = _Shared(name, own, sharing)
    hooks = [getattr(module, part).register_forward_hook(_longer(f"{name}.{part}", sharing))
             for name, module in denoiser.named_modules()
             if isinstance(getattr(module, "processor", None), JointAttnProcessor2_0) for part in ("to_k", "to_v")]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for (_, module), own in zip(layers, plain):
            module.processor = own


@contextmanager
def micro_batches(nets: Sequence[torch.nn.Module], views: int, size: int, begin: Callable[[list[int]], None]
                  ) -> Iterator[None]:
    """Return a context in which `nets` see at most `size` of the `views` at a time; memory then does not grow with
    their number.

    Args:
        nets: The denoiser and its ControlNets.
        views: How many there are.
        size: How many fit.
        begin: Called with the numbers of the views that come next.
    """
    def in_parts(original: Callable) -> Callable:
        def forward(*args: Any, **options: Any) -> Any:
            batch = _batch(args, options, views)
            if not batch:
                return original(*args, **options)
            parts = []
            for start in range(0, views, size):
                chosen = list(range(start, min(start + size, views)))
                begin(chosen)
                rows = [turn * views + view for turn in range(batch // views) for view in chosen]
                parts.append((original(*_rows(args, rows, batch), **_rows(options, rows, batch)), rows))
            begin(list(range(views)))
            order = torch.tensor([row for _, rows in parts for row in rows]).argsort().tolist()
            return _joined([part for part, _ in parts], order, batch)

        return forward

    standing = [Instead(net, in_parts(net.forward)) for net in nets]
    try:
        yield
    finally:
        for instead in standing:
            instead.remove()


def _batch(args: tuple, options: dict, views: int) -> int:
    """Return the number of pictures in a call: that of the first input; 0 if they are not all views."""
    value = next((value for value in (*args, *options.values()) if isinstance(value, (torch.Tensor, list))), None)
    count = 0 if value is None else len(value)
    return count if count and count % views == 0 else 0


def _rows(value: Any, rows: list[int], batch: int) -> Any:
    if isinstance(value, torch.Tensor):
        return value[rows] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, dict):
        return {key: _rows(part, rows, batch) for key, part in value.items()}
    if isinstance(value, list) and len(value) == batch and all(
            isinstance(part, torch.Tensor) and part.shape[:1] != (batch,) for part in value):
        return [value[row] for row in rows]
    if isinstance(value, (list, tuple)):
        return type(value)(_rows(part, rows, batch) for part in value)
    return value


def _joined(parts: list[Any], order: list[int], batch: int) -> Any:
    first = parts[0]
    if isinstance(first, torch.Tensor):
        whole = torch.cat(parts)
        return whole[order] if whole.shape[0] == batch else first
    if isinstance(first, dict):
        joined = {key: _joined([part[key] for part in parts], order, batch) for key in first}
        return type(first)(**joined) if type(first) is not dict else joined
    if isinstance(first, list) and all(isinstance(value, torch.Tensor) for value in first) and (
            sum(map(len, parts)) == batch):
        values = [value for part in parts for value in part]
        return [values[row] for row in order]
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(list(same), order, batch) for same in zip(*parts))
    return first
