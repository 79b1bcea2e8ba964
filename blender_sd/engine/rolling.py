"""Seamless pictures from diffusion transformers, which know each place by number and cannot wrap by padding.

What the transformer sees is rolled by another random distance at every step and its answer rolled back, so that the
border lies somewhere else each time and no seam can settle. Latents, sampler and masks stay where they are.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


class Rolling:
    """The distance of the current step. `next_step()` draws another one, from a generator of its own."""

    def __init__(self, tiling: str, grid: tuple[int, int], seed: int) -> None:
        """`grid`: rows and columns of the latents, or of the tokens for families that pack them."""
        self._axes = ("y" in tiling, "x" in tiling)
        self._grid = grid
        self._draw = torch.Generator().manual_seed(seed)  # never the picture's own: that would change the noise
        self.shift = (0, 0)

    def next_step(self) -> None:
        """Another distance, in rows and columns; the first step's is none."""
        drawn = [int(torch.randint(side, (1,), generator=self._draw)) for side in self._grid]
        self.shift = tuple(distance if along else 0 for distance, along in zip(drawn, self._axes, strict=True))

    def roll(self, value: Any, back: bool = False) -> Any:
        """`value` rolled by the step's distance, or back: (…, rows, columns) latents, lists of them (Z-Image), or packed
        tokens (B, N, C), of which the first rows × columns are the picture's (Flux, Qwen-Image). Further ones are of pictures
        that it is made after; those of the same size are rolled with it."""
        if isinstance(value, (list, tuple)):
            return type(value)(self.roll(one, back) for one in value)
        rows, columns = (-distance if back else distance for distance in self.shift)
        if value.ndim != 3:
            finer = max(1, value.shape[-2] // self._grid[0])  # pixels, of some ControlNets
            return torch.roll(value, (rows * finer, columns * finer), (-2, -1))
        count = self._grid[0] * self._grid[1]
        end = count if value.shape[1] % count else value.shape[1]
        pictures = value[:, :end].unflatten(1, (-1, *self._grid))
        return torch.cat([torch.roll(pictures, (rows, columns), (2, 3)).flatten(1, 3), value[:, end:]], 1)


_SEEN = {"hidden_states", "x", "controlnet_cond", "control_context"}  # what transformers and their ControlNets call pictures


@contextmanager
def rolled(transformer: torch.nn.Module, rolling: Rolling, nets: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Within the block `transformer` works on rolled latents, unknown to whoever calls it; and so do the ControlNets `nets`, whose
    answers stay rolled, as the transformer takes them."""

    def before(module: torch.nn.Module, args: tuple, options: dict) -> tuple[tuple, dict]:
        names = list(inspect.signature(type(module).forward).parameters)[1:]
        args = tuple(rolling.roll(value) if name in _SEEN else value for name, value in zip(names, args, strict=False))
        return args, {name: rolling.roll(value) if name in _SEEN else value for name, value in options.items()}

    def after(_module: torch.nn.Module, _args: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return rolling.roll(output[0], back=True), *output[1:]
        output.sample = rolling.roll(output.sample, back=True)
        return output

    handles = [net.register_forward_pre_hook(before, with_kwargs=True) for net in (transformer, *nets)]
    handles.append(transformer.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
