"""Seamless pictures from diffusion transformers, which know each position by number and cannot wrap by padding.

The transformer's input is rolled by another random distance at every step and its output rolled back. The border lies
somewhere else each time, so no seam can form. Latents, sampler and masks stay where they are.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


class Rolling:
    """The distance of the current step, in rows and columns."""

    def __init__(self, tiling: str, grid: tuple[int, int], seed: int) -> None:
        """Start without a distance.

        Args:
            tiling: The axes along which the picture repeats: x, y or xy.
            grid: Rows and columns of the latents, or of the tokens for families that pack them.
            seed: Seed of the distances, which are drawn from a generator of their own.
        """
        self._axes = ("y" in tiling, "x" in tiling)
        self._grid = grid
        self._draw = torch.Generator().manual_seed(seed)  # never the picture's own: that would change the noise
        self.shift = (0, 0)

    def next_step(self) -> None:
        """Draw the next step's distance."""
        drawn = [int(torch.randint(side, (1,), generator=self._draw)) for side in self._grid]
        self.shift = tuple(distance if along else 0 for distance, along in zip(drawn, self._axes, strict=True))

    def roll(self, value: Any, back: bool = False) -> Any:
        """Return `value` rolled by the step's distance, or back by it.

        Args:
            value: Latents (…, rows, columns), a list of them (Z-Image), or packed tokens (B, N, C), where the first
                rows × columns belong to the picture (Flux, Qwen-Image). Further blocks of that many tokens belong to
                reference pictures and are rolled too.
            back: Whether to undo the step's roll.
        """
        if isinstance(value, (list, tuple)):
            return type(value)(self.roll(part, back) for part in value)
        rows, columns = (-distance if back else distance for distance in self.shift)
        if value.ndim != 3:
            finer = max(1, value.shape[-2] // self._grid[0])  # some ControlNets take pixels
            return torch.roll(value, (rows * finer, columns * finer), (-2, -1))
        count = self._grid[0] * self._grid[1]
        end = count if value.shape[1] % count else value.shape[1]
        pictures = value[:, :end].unflatten(1, (-1, *self._grid))
        return torch.cat([torch.roll(pictures, (rows, columns), (2, 3)).flatten(1, 3), value[:, end:]], 1)


# The parameters of transformers and their ControlNets that hold pictures.
_PICTURES = {"hidden_states", "x", "controlnet_cond", "control_context"}


@contextmanager
def rolled(transformer: torch.nn.Module, rolling: Rolling, nets: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Return a context in which `transformer` works on rolled latents without its caller noticing.

    The ControlNets `nets` get rolled inputs too; their outputs stay rolled, as the transformer expects.
    """

    def before(module: torch.nn.Module, args: tuple, options: dict) -> tuple[tuple, dict]:
        names = list(inspect.signature(type(module).forward).parameters)[1:]
        args = tuple(rolling.roll(value) if name in _PICTURES else value
                     for name, value in zip(names, args, strict=False))
        return args, {name: rolling.roll(value) if name in _PICTURES else value for name, value in options.items()}

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
