"""Lay triangles out on the images that they are painted into: repeated UVs, UDIM tiles, UV islands, their borders."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..core.errors import SourceUnusable
from .surface import Surface

_MOST_COPIES = 1 << 24  # triangles after repeating those whose UVs leave the image
_SAME_UV = 1 / 64  # pixels: corners that are closer are one


@dataclass(frozen=True)
class Sheet:
    """One image that is baked.

    Attributes:
        texture: The index of its texture (`Mesh.textures`).
        width, height: Its size in texels.
        tile: For a tile of a UDIM image its column and row, counted from 0; None for an ordinary image, which repeats.
        turn: What takes directions in the UV map, in whose tangents normals are read, to those of `Mesh.uv`: 2×2 by
            rows.
    """

    texture: int
    width: int
    height: int
    tile: tuple[int, int] | None = None
    turn: tuple[float, ...] = (1.0, 0.0, 0.0, 1.0)


class Layout:
    """All triangles where they lie on their sheets, in texels; row 0 on top, texel (i, j) covers i ≤ x < i+1.

    Attributes:
        surface: The triangles in space.
        sheets: The images.
        starts: The first texel of each sheet when all are counted through, and their total.
        triangle: F int32, the surface's triangle of each laid-out one.
        sheet: F int32, its sheet.
        corners: F×3×2 float64.
    """

    def __init__(self, surface: Surface, sheets: tuple[Sheet, ...]) -> None:
        """Lay out all triangles. Raise SourceUnusable if UVs repeat an image so often that memory would not do."""
        self.surface, self.sheets = surface, sheets
        self.starts = np.cumsum([0, *(sheet.width * sheet.height for sheet in sheets)], dtype=np.int64)
        parts = [self._on(number, sheet) for number, sheet in enumerate(sheets)]
        self.triangle = np.concatenate([part[0] for part in parts]).astype(np.int32)
        self.sheet = np.repeat(np.arange(len(sheets), dtype=np.int32), [len(part[0]) for part in parts])
        self.corners = np.concatenate([part[1] for part in parts])

    def _on(self, number: int, sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.flatnonzero(self.surface.textures == sheet.texture)
        uv = self.surface.uv[chosen]
        size = np.array([sheet.width, sheet.height], np.float64)
        low, high = uv.min(1), uv.max(1)
        if sheet.tile is not None:
            tile = np.array(sheet.tile, np.float64)
            inside = ((high > tile) & (low < tile + 1)).all(1)
            return chosen[inside], _texels(uv[inside] - tile, size)
        first = np.floor(low + 1e-9).astype(np.int64)
        count = np.maximum(np.ceil(high - 1e-9).astype(np.int64) - first, 1)  # tiles that the triangle touches
        copies = count.prod(1)
        if copies.sum() > _MOST_COPIES:
            raise SourceUnusable("The UVs repeat the image too often to bake it.",
                                 "Scale the UVs down, or give the objects UVs that do not overlap.")
        index = np.repeat(np.arange(len(chosen)), copies)
        turn = np.arange(len(index)) - np.repeat(np.cumsum(copies) - copies, copies)
        cell = first[index] + np.stack([turn % count[index, 0], turn // count[index, 0]], 1)
        return chosen[index], _texels(uv[index] - cell[:, None], size)

    @cached_property
    def region(self) -> np.ndarray:
        """F int32: `Surface.regions` of each laid-out triangle."""
        return self.surface.regions[self.triangle]

    @cached_property
    def _edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each laid-out triangle's three edges: F×3 names in space, F×3 names in space and on the sheet, and whether
        an edge runs against its name (from the higher to the lower vertex).
        """
        vertices = self.surface.welded[self.triangle].astype(np.int64)
        start, end = vertices, np.roll(vertices, -1, 1)
        against = start > end
        low, high = np.minimum(start, end), np.maximum(start, end)
        space = _mixed(low, high)
        grid = np.round(self.corners / _SAME_UV).astype(np.int64)
        here = _mixed(grid[..., 0], grid[..., 1])
        there = np.roll(here, -1, 1)
        flat = _mixed(_mixed(space, np.where(against, there, here)), np.where(against, here, there))
        return space, _mixed(flat, self.sheet[:, None].astype(np.int64)), against

    @cached_property
    def islands(self) -> np.ndarray:
        """F int32: the UV island of each laid-out triangle."""
        names = np.unique(self._edges[1], return_inverse=True)[1].reshape(-1, 3)
        count = len(names)
        rows = np.repeat(np.arange(count), 3)
        graph = coo_matrix((np.ones(len(rows), bool), (rows, names.ravel() + count)),
                           shape=(count + int(names.max(initial=0)) + 1,) * 2)
        labels = connected_components(graph, directed=False)[1][:count]
        return np.unique(labels, return_inverse=True)[1].astype(np.int32)

    @cached_property
    def borders(self) -> Borders:
        """The edges at which UV islands end."""
        space, flat, against = self._edges
        _, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
        alone = counts[inverse.reshape(-1)] == 1
        edge = np.flatnonzero(alone)
        order = edge[np.argsort(space.ravel()[edge], kind="stable")]
        name = space.ravel()[order]
        new = np.concatenate([[True], name[1:] != name[:-1]])
        place = np.arange(len(order)) - np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        second = np.flatnonzero(place % 2 == 1)  # of more than two, each two that follow each other are a pair
        twin = np.full(len(order), -1, np.int64)
        twin[second], twin[second - 1] = second - 1, second
        triangle, corner = order // 3, order % 3
        textures = self.surface.textures[self.triangle[triangle]]
        twin[(twin >= 0) & (textures != textures[twin])] = -1  # other materials may well differ
        ends = np.stack([self.corners[triangle, corner], self.corners[triangle, (corner + 1) % 3]], 1)
        turned = against.ravel()[order]
        ends[turned] = ends[turned][:, ::-1]
        return Borders(triangle.astype(np.int32), corner.astype(np.int8), turned, ends, twin)


    @cached_property
    def border_samples(self) -> Samples:
        """Points along the borders, half a texel apart."""
        return self.borders.samples()


@dataclass(frozen=True, eq=False)
class Borders:
    """Edges of UV islands, each in the same direction in space as its twin on the other side of the seam.

    Attributes:
        laid: B int32, the laid-out triangle.
        corner: B int8, the corner at which the edge begins in the triangle.
        turned: B bool, whether `ends` run against the triangle's direction.
        ends: B×2×2 float64, the ends on the sheet in texels.
        twin: B int64, the edge's other side; −1 for none.
    """

    laid: np.ndarray
    corner: np.ndarray
    turned: np.ndarray
    ends: np.ndarray
    twin: np.ndarray

    def samples(self, spacing: float = 0.5) -> Samples:
        """Return points along the edges, at most `spacing` texels apart on either side of the seam."""
        length = np.linalg.norm(self.ends[:, 1] - self.ends[:, 0], axis=1)
        longer = np.where(self.twin >= 0, np.maximum(length, length[self.twin]), length)
        count = np.ceil(longer / spacing).astype(np.int64) + 1
        edge = np.repeat(np.arange(len(count)), count)
        turn = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        along = turn / np.maximum(count[edge] - 1, 1)
        return Samples(edge, along, self._at(edge, along), self._at(self.twin[edge], along))

    def _at(self, edge: np.ndarray, along: np.ndarray) -> np.ndarray:
        ends = self.ends[edge]
        return ends[:, 0] + (ends[:, 1] - ends[:, 0]) * along[:, None]

    def texel_size(self, layout: Layout) -> np.ndarray:
        """Return the length of a texel in space along each edge, in the unit box."""
        length = np.linalg.norm(self.ends[:, 1] - self.ends[:, 0], axis=1)
        zero = np.zeros(len(self.laid))
        edge = np.arange(len(self.laid))
        triangle = layout.triangle[self.laid]
        in_space = layout.surface.points(triangle, self.weights(edge, zero + 1)) - layout.surface.points(
            triangle, self.weights(edge, zero))
        return np.linalg.norm(in_space, axis=1) / np.maximum(length, 1e-9)

    def weights(self, edge: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Return the barycentric weights (N×3) of points `along` (0 to 1) edges."""
        along = np.where(self.turned[edge], 1 - along, along)
        rows, corner = np.arange(len(edge)), self.corner[edge].astype(np.int64)
        result = np.zeros((len(edge), 3))
        result[rows, corner], result[rows, (corner + 1) % 3] = 1 - along, along
        return result


    def across(self, layout: Layout, edge: np.ndarray, along: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Return the barycentric weights (N×3) of points at a `distance` from edges, inside their triangles.

        Args:
            layout: Where the triangles lie.
            edge: N edges.
            along: N, 0 to 1 along each.
            distance: N, as a share of the edge's length.
        """
        rows, corner = np.arange(len(edge)), self.corner[edge].astype(np.int64)
        start, end = self.ends[edge, 0], self.ends[edge, 1]
        third = layout.corners[self.laid[edge], (corner + 2) % 3] - start
        line = end - start
        square = np.maximum((line**2).sum(1), 1e-30)
        foot = (third * line).sum(1) / square
        height = np.abs(line[:, 0] * third[:, 1] - line[:, 1] * third[:, 0]) / square
        share = np.minimum(distance / np.maximum(height, 1e-9), 1.0)
        last = along - share * foot
        last = np.where(self.turned[edge], 1 - share - last, last)
        result = np.empty((len(edge), 3))
        result[rows, corner], result[rows, (corner + 1) % 3] = 1 - share - last, last
        result[rows, (corner + 2) % 3] = share
        return result


@dataclass(frozen=True, eq=False)
class Samples:
    """Points along borders: their `edge` (S), how far `along` it (0 to 1), where they lie in texels (`here`, S×2), and
    where the same point lies on the other side of the seam (`there`; only where the edge has a twin).
    """

    edge: np.ndarray
    along: np.ndarray
    here: np.ndarray
    there: np.ndarray


def _texels(uv: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.stack([uv[..., 0] * size[0], (1 - uv[..., 1]) * size[1]], -1)


def _mixed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return one 64-bit name for each pair of numbers; two pairs share one about once in 10^19."""
    value = (one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (other.astype(np.uint64) + np.uint64(0x7F4A7C15))
    value ^= value >> np.uint64(29)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    return (value ^ (value >> np.uint64(32))).astype(np.int64)
