"""Enlarge a picture with an upscaler to any size, in pieces, so that memory stays what one piece needs.

A network that doubles enlarges eight times in three passes over the whole picture.

A piece is cut with a margin that the upscaler sees but whose result is discarded. Beyond the picture's border lies the
opposite side where the picture tiles, otherwise its mirror image. So a network that knows nothing of tiling enlarges a
seamless texture without a seam.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ...core.request import Request
from ..memory import budget
from .painting import Listener
from .tiles import Axis, Blend, Tiles
from .upscaler import Pieces, Upscaler

log = logging.getLogger(__name__)
_SMALLEST = 64  # pixels; pieces are not made smaller than this when memory runs out
_LEFT = 1.3  # what resampling may enlarge after the last pass of an upscaler


@dataclass(frozen=True)
class _Side:
    """One axis of the source and of the pieces that it is cut into.

    Attributes:
        length: Pixels of the source.
        axis: The pieces of the result.
        count: Pixels of every piece of the source.
        margin: Pixels of them at each edge whose result is discarded.
    """

    length: int
    axis: Axis
    count: int
    margin: int

    @classmethod
    def of(cls, length: int, wanted: int, pieces: Pieces, wraps: bool) -> _Side:
        zoom = wanted / length
        kept = pieces.side - 2 * pieces.margin - 1  # one less: a piece of the result may begin between two pixels
        axis = Axis.split(wanted, max(1, int(kept * zoom)), 1, wraps, int(min(pieces.overlap, kept / 2) * zoom))
        count = min(pieces.side, length + 2 * pieces.margin) if axis.whole else pieces.side
        return cls(length, axis, -(-count // pieces.multiple) * pieces.multiple, pieces.margin)

    def places(self, start: int) -> np.ndarray:
        """Return the source's pixel for each pixel of the piece whose result begins at `start`."""
        places = int(self._exact(start)) - self.margin + np.arange(self.count)
        if self.axis.wraps:
            return places % self.length
        last = self.length - 1
        return last - np.abs(places % (2 * last) - last)

    def span(self, start: int, scale: int) -> tuple[float, float]:
        """Return which part of the enlarged piece, (from, to) in pixels, becomes the result's piece at `start`."""
        first = int(self._exact(start)) - self.margin
        return tuple((self._exact(place) - first) * scale for place in (start, start + self.axis.tile))

    def _exact(self, place: int) -> float:
        return place * self.length / self.axis.length


@dataclass(frozen=True)
class _Grid:
    x: _Side
    y: _Side

    @classmethod
    def of(cls, source: tuple[int, int], size: tuple[int, int], pieces: Pieces, tiling: str) -> _Grid:
        return cls(_Side.of(source[0], size[0], pieces, "x" in tiling),
                   _Side.of(source[1], size[1], pieces, "y" in tiling))

    @property
    def tiles(self) -> Tiles:
        return Tiles(self.x.axis, self.y.axis)

    def cut(self, pixels: np.ndarray, place: tuple[int, int]) -> Image.Image:
        return Image.fromarray(pixels[self.y.places(place[1])[:, None], self.x.places(place[0])[None]])

    def fitted(self, large: Image.Image, place: tuple[int, int], scale: int) -> Image.Image:
        """Return the part of an enlarged piece that belongs to the result, at the result's resolution."""
        (left, right), (top, bottom) = self.x.span(place[0], scale), self.y.span(place[1], scale)
        size, box = self.tiles.size, (left, top, right, bottom)
        if all(side.is_integer() for side in map(float, box)) and (right - left, bottom - top) == size:
            return large.crop(tuple(map(int, box)))
        return large.resize(size, Image.Resampling.LANCZOS, box=box)


def count(source: tuple[int, int], request: Request, upscaler: Upscaler) -> int:
    """Return in how many pieces a picture of the size `source` (width, height) is brought to the request's size."""
    sizes = [source, *_sizes(source, (request.width, request.height), upscaler)]
    return sum(len(_Grid.of(before, after, upscaler.pieces, request.tiling).tiles.places)
               for before, after in zip(sizes, sizes[1:]))


def _sizes(source: tuple[int, int], wanted: tuple[int, int], upscaler: Upscaler) -> list[tuple[int, int]]:
    """Return the size after each pass of the upscaler over the whole picture; resampling does what little is left."""
    sizes, size = [], source
    while upscaler.repeats and max(
            want / (side * upscaler.scale) for want, side in zip(wanted, size, strict=True)) > _LEFT:
        size = (size[0] * upscaler.scale, size[1] * upscaler.scale)
        sizes.append(size)
    return [*sizes, wanted]


def enlarge(picture: Image.Image, request: Request, upscaler: Upscaler, listener: Listener,
            shown: Callable[[Tiles, np.ndarray, tuple[int, int]], np.ndarray | None]) -> Image.Image:
    """Return a picture enlarged to the request's size.

    Args:
        picture: The picture, RGB.
        request: The request; its size, tiling, prompt and seed are used.
        upscaler: The network that enlarges.
        listener: Hears of one step for each piece.
        shown: Makes a preview of the whole picture from the grid of tiles, a finished tile (H×W×3 uint8) and its place.
    """
    total, done = count(picture.size, request, upscaler), 0
    *between, wanted = _sizes(picture.size, (request.width, request.height), upscaler)
    for size in between:
        part = replace(request, width=size[0], height=size[1])
        before = done
        done += count(picture.size, part, upscaler)
        picture = _pass(picture, part, upscaler, _within(listener, before, total), lambda *_: None)
    return _pass(picture, request, upscaler, _within(listener, done, total), shown)


def _within(listener: Listener, before: int, total: int) -> Listener:
    """Return a listener for one of several passes, which has `before` pieces before it; there are `total` in all."""
    return replace(listener, step=lambda number, _count, preview: listener.step(
        min(before + number, total), total, preview))


def _pass(picture: Image.Image, request: Request, upscaler: Upscaler, listener: Listener, shown: Callable
          ) -> Image.Image:
    pieces = upscaler.pieces  # made smaller when memory runs out
    while True:
        grid = _Grid.of(picture.size, (request.width, request.height), pieces, request.tiling)
        try:
            return _in_pieces(np.asarray(picture), request, upscaler, grid, listener, shown)
        except Exception as error:
            smaller = replace(pieces, side=pieces.side // 2)
            if not budget.is_out_of_memory(error) or smaller.side < max(_SMALLEST, 4 * pieces.margin):
                raise
            log.warning("memory ran out while enlarging by pieces of %d pixels", pieces.side, exc_info=error)
        pieces = smaller


def _in_pieces(pixels: np.ndarray, request: Request, upscaler: Upscaler, grid: _Grid, listener: Listener,
               shown: Callable) -> Image.Image:
    tiles, blend = grid.tiles, Blend(grid.tiles)
    for number, place in enumerate(tiles.places):
        listener.check()
        large = upscaler.enlarged(grid.cut(pixels, place), number, request, listener.check)
        part = grid.fitted(large, place, upscaler.scale)
        blend.add(part, place)
        listener.step(number + 1, len(tiles.places), shown(tiles, np.asarray(part), place))
    return blend.picture()
