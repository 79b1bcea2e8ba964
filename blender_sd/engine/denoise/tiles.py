"""Cut a large picture into overlapping tiles of the size that a model paints well, and blend them without seams."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

OVERLAP = 4  # a tile shares a fourth of its pixels with each neighbour


@dataclass(frozen=True)
class Axis:
    """One axis of the picture and its tiles.

    Attributes:
        length: Pixels of the picture.
        tile: Pixels of a tile. A tile longer than the picture repeats its last pixels.
        starts: Where the tiles begin.
        wraps: Whether tiles go round the border.
        overlap: Pixels that a tile shares at least with the next.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    wraps: bool
    overlap: int

    @classmethod
    def split(cls, length: int, tile: int, multiple: int, wraps: bool, overlap: int | None = None) -> Axis:
        """Return an axis with as few tiles as overlap enough, evenly spread.

        Args:
            length: Pixels of the picture.
            tile: Wanted pixels of a tile; reduced to a multiple of `multiple` and to a shorter picture.
            multiple: Pixels that a tile must be a multiple of.
            wraps: Whether tiles go round the border.
            overlap: Pixels that neighbours share; None for a fourth of a tile.
        """
        whole = -(-length // multiple) * multiple
        tile = min(max(multiple, tile // multiple * multiple), whole)
        overlap = tile // OVERLAP if overlap is None else min(overlap, tile - 1)
        if tile >= length:
            return cls(length, tile, (0,), wraps, overlap)
        step = tile - overlap
        if wraps:
            count = -(-length // step)
            return cls(length, tile, tuple(round(number * length / count) for number in range(count)), True, overlap)
        count = -(-(length - tile) // step) + 1
        starts = tuple(round(number * (length - tile) / (count - 1)) for number in range(count))
        return cls(length, tile, starts, False, overlap)

    @property
    def whole(self) -> bool:
        """Return whether one tile covers the axis."""
        return len(self.starts) == 1

    def places(self, start: int) -> np.ndarray:
        """Return the picture's pixel for each pixel of the tile that begins at `start`."""
        places = start + np.arange(self.tile)
        return places % self.length if self.wraps else np.minimum(places, self.length - 1)

    def weights(self) -> np.ndarray:
        """Return the weight of each of a tile's pixels: 1 inside, falling linearly over the overlap. float32."""
        if self.whole:
            return np.ones(self.tile, np.float32)
        edge = np.minimum(np.arange(self.tile), np.arange(self.tile)[::-1]) + 0.5
        return np.minimum(1.0, edge / max(1, self.overlap)).astype(np.float32)


@dataclass(frozen=True)
class Tiles:
    """The tiles of one picture, row by row."""

    x: Axis
    y: Axis

    @classmethod
    def of(cls, size: tuple[int, int], tile: int, multiple: int, tiling: str) -> Tiles:
        """Return tiles of at most `tile` pixels a side for a picture of `size` (width, height)."""
        return cls(Axis.split(size[0], tile, multiple, "x" in tiling),
                   Axis.split(size[1], tile, multiple, "y" in tiling))

    @property
    def places(self) -> list[tuple[int, int]]:
        """Return (x, y) of each tile's first pixel."""
        return [(x, y) for y in self.y.starts for x in self.x.starts]

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of every tile in pixels."""
        return self.x.tile, self.y.tile

    @property
    def tiling(self) -> str:
        """Return the axes along which each tile has to wrap by itself, because it is the only one on them."""
        return ("x" if self.x.wraps and self.x.whole else "") + ("y" if self.y.wraps and self.y.whole else "") or "none"

    def cut(self, pixels: np.ndarray, place: tuple[int, int]) -> Image.Image:
        """Return the tile at `place` of `pixels` (H×W×3 uint8) as an RGB image."""
        return Image.fromarray(np.ascontiguousarray(pixels[self.y.places(place[1])[:, None],
                                                           self.x.places(place[0])[None]]))


class Blend:
    """Add painted tiles up to the whole picture."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._sum = np.zeros((tiles.y.length, tiles.x.length, 3), np.float32)
        self._weight = np.zeros((tiles.y.length, tiles.x.length, 1), np.float32)
        self._mask = (tiles.y.weights()[:, None] * tiles.x.weights()[None])[..., None]

    def add(self, tile: Image.Image, place: tuple[int, int]) -> None:
        """Add the painted tile at `place`."""
        across = min(self._tiles.x.tile, self._tiles.x.length)
        down = min(self._tiles.y.tile, self._tiles.y.length)
        where = np.ix_(self._tiles.y.places(place[1])[:down], self._tiles.x.places(place[0])[:across])
        mask = self._mask[:down, :across]
        self._sum[where] += np.asarray(tile, np.float32)[:down, :across] * mask
        self._weight[where] += mask

    def picture(self) -> Image.Image:
        """Return the whole picture, RGB; every tile must have been added."""
        self._sum /= self._weight
        return Image.fromarray(np.rint(self._sum).clip(0, 255).astype(np.uint8))


def enlarged(picture: Image.Image, size: tuple[int, int], tiling: str) -> Image.Image:
    """Return a picture resampled (Lanczos) to another size.

    Args:
        picture: The picture.
        size: (width, height) in pixels.
        tiling: The axes along which the filter reaches round the border.
    """
    margins = [min(16, side) if axis in tiling else 0 for axis, side in zip("xy", picture.size, strict=True)]
    if not any(margins):
        return picture.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    pads = [(margins[1],) * 2, (margins[0],) * 2, *[(0, 0)] * (pixels.ndim - 2)]
    padded = Image.fromarray(np.pad(pixels, pads, mode="wrap"))
    box = (margins[0], margins[1], margins[0] + picture.width, margins[1] + picture.height)
    return padded.resize(size, Image.Resampling.LANCZOS, box=box)
