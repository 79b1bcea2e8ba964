"""Shares of regions as tensors, at whatever resolution and in whatever form a network holds its picture."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import interpolate

from ...core.request import Request
from ..conditioning.regions import CELL, Layout
from .tiles import Tiles


class Shares:
    """Maps over the picture, one for each of several things.

    Attributes:
        maps: count×rows×columns float32, 0 to 1.
        grid: Rows and columns of the latents, or of the tokens for families that pack them.
    """

    def __init__(self, maps: torch.Tensor, grid: tuple[int, int]) -> None:
        self.maps, self.grid = maps, grid
        self._sized: dict[tuple, torch.Tensor] = {}

    def with_rest(self) -> Shares:
        """Return these maps after one of what they leave of the picture; all are 1 together."""
        rest = (1 - self.maps.sum(0, keepdim=True)).clamp(min=0)
        return Shares(torch.cat([rest, self.maps]), self.grid)

    def at(self, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
        """Return the maps at `size` (rows, columns), with the type and on the device of `like`."""
        key = (*size, like.dtype, like.device)
        if key not in self._sized:
            sized = interpolate(self.maps[None], size, mode="area")[0]
            self._sized[key] = sized.to(like.device, like.dtype)
        return self._sized[key]

    def of_queries(self, count: int, like: torch.Tensor) -> torch.Tensor | None:
        """Return the maps flattened, for a layer of a UNet that holds the picture in `count` places; None if it holds
        something else."""
        rows, columns = self.grid
        while rows * columns > count:
            rows, columns = -(-rows // 2), -(-columns // 2)
            if rows * columns == 1:
                break
        return self.at((rows, columns), like).flatten(1) if rows * columns == count else None

    def on(self, value: torch.Tensor) -> torch.Tensor:
        """Return the maps in a form that multiplies `value`: latents (…, rows, columns), or packed tokens (B, N, C),
        where the first rows × columns belong to the picture; 0 for all others."""
        if value.ndim != 3:
            sized = self.at(tuple(value.shape[-2:]), value)
            return sized.reshape(len(sized), *(1,) * (value.ndim - 2), *sized.shape[1:])
        flat = value.new_zeros(len(self.maps), value.shape[1])
        count = min(self.grid[0] * self.grid[1], value.shape[1])
        flat[:, :count] = self.at(self.grid, value).flatten(1)[:, :count]
        return flat[:, None, :, None]


def of_prompts(request: Request, layout: Layout, grid: tuple[int, int]) -> tuple[list[str], Shares]:
    """Return the different prompts of the regions, and where each holds. Elsewhere the request's own holds."""
    maps: dict[str, torch.Tensor] = {}
    for number, cells in zip(layout.numbers, layout.maps, strict=True):
        text = request.regions[number].prompt
        if text and text != request.prompt:
            maps[text] = maps.get(text, 0) + torch.from_numpy(cells)
    return list(maps), Shares(torch.stack(list(maps.values())) if maps else torch.zeros(0, 1, 1), grid)


def weighed(layout: Layout, values: Sequence[float], rest: float) -> torch.Tensor:
    """Return the mean of the regions' `values`, by their places in `layout.numbers`, over the picture: rows×columns.

    `rest`: the value where no region lies.
    """
    total = torch.full(layout.maps.shape[1:], float(rest))
    for value, cells in zip(values, layout.maps, strict=True):
        total += torch.from_numpy(cells) * (value - rest)
    return total


def of_tile(layout: Layout, tiles: Tiles, place: tuple[int, int]) -> Layout:
    """Return the layout of the tile at `place` of the enlarged picture; nothing is kept there."""
    rows, columns = (
        axis.places(start)[CELL // 2::CELL] * count // axis.length
        for axis, start, count in zip((tiles.y, tiles.x), reversed(place), layout.maps.shape[1:], strict=True))
    return replace(layout, maps=layout.maps[:, rows[:, None], columns[None]], kept=None, fade=None)


def multiplied(value: Any, shares: Shares) -> Any:
    """Return a network's output, whatever holds it, with each tensor in it multiplied by the first map of `shares`."""
    if isinstance(value, torch.Tensor):
        return value * shares.on(value)[0] if value.ndim >= 3 else value
    if isinstance(value, dict):
        changed = {name: multiplied(part, shares) for name, part in value.items()}
        return type(value)(**changed) if hasattr(value, "to_tuple") else changed
    if isinstance(value, (list, tuple)):
        return type(value)(multiplied(part, shares) for part in value)
    return value
