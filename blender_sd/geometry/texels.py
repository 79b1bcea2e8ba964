"""The table of texels: which point of the surface each texel of the baked images shows."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from .raster import texels_under
from .sheets import Layout, Sheet
from .slices import Cancelled, each, never, workers

_INSIDE = 1e-4  # barycentric weight from which a texel lies inside a triangle and not on its edge


@dataclass(frozen=True, eq=False)
class Texels:
    """The points that texels show, one entry each; a texel on which several triangles lie has several entries.

    Attributes:
        layout: Where the triangles lie.
        texel: N int64, counted through all sheets (`Layout.starts`).
        laid: N int32, the laid-out triangle on which its point lies.
        islands: N int32, the UV island.
        points: N×3 float32 in the unit box.
        normals: N×3 float32, smooth over facets.
        inside: N bool, whether the texel's centre lies on the triangle; else it lies within one texel of an island's
            border, and its point is that on the other side of the seam, or the nearest on the border where there is
            none. Filtering across the border then shows the surface as it goes on.
        overlapping: The number of texels with several triangles.
    """

    layout: Layout
    texel: np.ndarray
    laid: np.ndarray
    islands: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    inside: np.ndarray
    overlapping: int

    @property
    def count(self) -> int:
        return len(self.texel)

    def places(self, entries: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sheet, row and column of entries."""
        return places(self.layout, self.texel[entries])

    def chosen(self, entries: np.ndarray) -> Texels:
        """Return the table with `entries` (indices) only."""
        return Texels(self.layout, self.texel[entries], self.laid[entries], self.islands[entries],
                      self.points[entries], self.normals[entries], self.inside[entries], self.overlapping)


def places(layout: Layout, texel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sheet, row and column of texels that are counted through all sheets."""
    if len(layout.sheets) == 1:
        row, column = np.divmod(texel, layout.sheets[0].width)
        return np.zeros(len(texel), np.int32), row, column
    sheet = np.searchsorted(layout.starts, texel, side="right") - 1
    widths = np.array([one.width for one in layout.sheets])
    row, column = np.divmod(texel - layout.starts[sheet], widths[sheet])
    return sheet, row, column


def table(layout: Layout, cancelled: Cancelled = never) -> Texels:
    """Return the texel table, conservative by one texel at the borders of UV islands.

    Triangles whose UVs have no area cover no texel.

    Raises:
        JobCancelled: `cancelled` returned True.
    """
    parts, overlapping = [], 0
    for number, sheet in enumerate(layout.sheets):
        inside, several = _inside(layout, number, sheet, cancelled)
        overlapping += several
        parts.append(inside)
        parts.append(_ring(layout, number, sheet, inside.texel - layout.starts[number]))
    joined = _Part(*(np.concatenate([getattr(part, name) for part in parts]) for name in _PARTS))
    return _filled(layout, joined, overlapping, cancelled)


@dataclass(frozen=True, eq=False)
class _Part:
    texel: np.ndarray
    laid: np.ndarray
    islands: np.ndarray
    weights: np.ndarray
    inside: np.ndarray


_PARTS = ("texel", "laid", "islands", "weights", "inside")


def _inside(layout: Layout, number: int, sheet: Sheet, cancelled: Cancelled) -> tuple[_Part, int]:
    """Return the entries of texels whose centres lie on triangles, and how many lie on several."""
    laid = np.flatnonzero(layout.sheet == number)
    corners = layout.corners[laid]
    texel, triangle = texels_under(corners, sheet.width, sheet.height, cancelled)
    weights = np.empty((len(texel), 3), np.float32)

    def weights_of(part: slice) -> None:
        weights[part] = _weights(np.take(corners, triangle[part], 0), texel[part], sheet.width)

    each(weights_of, len(texel), cancelled)
    count = np.bincount(texel, minlength=sheet.width * sheet.height)
    overlapping = 0
    if len(count) and count.max() > 1:
        # A stack is an overlap where the texel lies inside several triangles: borders that are a hair apart are none.
        order = np.flatnonzero(count[texel] > 1)
        order = order[np.lexsort((-weights[order].min(1), texel[order]))]  # of each texel the surest first
        new = np.concatenate([[True], texel[order[1:]] != texel[order[:-1]]])
        deep = weights[order].min(1) > _INSIDE
        overlapping = len(np.unique(texel[order[~new & deep]]))
        keep = np.delete(np.arange(len(texel)), order[~new & ~deep])
        texel, triangle, weights = texel[keep], triangle[keep], weights[keep]
    rows = laid[triangle].astype(np.int32)
    part = _Part(texel + layout.starts[number], rows, layout.islands[rows], weights, np.ones(len(texel), bool))
    return part, overlapping


def _weights(corners: np.ndarray, texel: np.ndarray, width: int) -> np.ndarray:
    """Return barycentric weights of texels' centres in double precision."""
    row, column = np.divmod(texel, width)
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x, y = column + 0.5 - corners[:, 0, 0], row + 0.5 - corners[:, 0, 1]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    area = np.where(area == 0, np.inf, area)
    second = np.clip((x * edge2[:, 1] - y * edge2[:, 0]) / area, 0, 1)
    third = np.clip((edge1[:, 0] * y - edge1[:, 1] * x) / area, 0, 1)
    return np.stack([np.maximum(1 - second - third, 0), second, third], 1)


def _mixed(corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums (n×3) of n×3 corners with their weights; several times as fast as `sum` along so short an axis.
    """
    first, second, third = (corners[:, corner] * weights[:, corner, None] for corner in range(3))
    return first + second + third


def _ring(layout: Layout, number: int, sheet: Sheet, covered: np.ndarray) -> _Part:
    """Return the entries of texels within one texel of an island's border whose centres lie on no triangle."""
    mine = np.flatnonzero(layout.sheet[layout.borders.laid] == number)
    samples = layout.border_samples
    chosen = np.isin(samples.edge, mine) if len(layout.sheets) > 1 else np.ones(len(samples.edge), bool)
    here, edge = samples.here[chosen], samples.edge[chosen]
    column, row = np.floor(here).astype(np.int64).T
    fits = (column >= 0) & (row >= 0) & (column < sheet.width) & (row < sheet.height)
    near = np.zeros((sheet.height, sheet.width), bool)
    near[row[fits], column[fits]] = True
    near = binary_dilation(near, np.ones((3, 3), bool)).ravel()
    near[covered] = False
    texel = np.flatnonzero(near)
    if not len(texel):
        none = np.empty(0, np.int32)
        return _Part(none, none, none, np.empty((0, 3), np.float32), np.empty(0, bool))
    centre = np.stack([texel % sheet.width, texel // sheet.width], 1) + 0.5
    edge = edge[cKDTree(here, leafsize=32, balanced_tree=False).query(centre, workers=workers())[1]]
    borders = layout.borders
    ends = borders.ends[edge]
    line = ends[:, 1] - ends[:, 0]
    square = np.maximum((line**2).sum(1), 1e-30)
    share = np.clip(((centre - ends[:, 0]) * line).sum(1) / square, 0, 1)
    away = ends[:, 0] + line * share[:, None] - centre
    keep = np.abs(away).max(1) <= 1.0
    texel, edge, share, away, square = (values[keep] for values in (texel, edge, share, away, square))
    twin = borders.twin[edge]
    weights = borders.weights(edge, share)
    seam = np.flatnonzero(twin >= 0)
    distance = np.sqrt((away[seam] ** 2).sum(1) / square[seam])
    weights[seam] = borders.across(layout, twin[seam], share[seam], distance)
    return _Part(texel + layout.starts[number], borders.laid[np.where(twin >= 0, twin, edge)],
                 layout.islands[borders.laid[edge]], weights.astype(np.float32), np.zeros(len(texel), bool))


def _filled(layout: Layout, entries: _Part, overlapping: int, cancelled: Cancelled) -> Texels:
    surface = layout.surface
    laid, weights = entries.laid, entries.weights
    points, normals = np.empty((len(laid), 3), np.float32), np.empty((len(laid), 3), np.float32)
    corners, corner_normals = surface.vertices[surface.triangles], surface.corner_normals

    def points_of(part: slice) -> None:
        triangle = layout.triangle[laid[part]]
        points[part] = _mixed(np.take(corners, triangle, 0), weights[part])
        normal = _mixed(np.take(corner_normals, triangle, 0), weights[part])
        length = np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None]
        normals[part] = np.divide(normal, length, out=normal, where=length > 0)

    each(points_of, len(laid), cancelled)
    return Texels(layout, entries.texel, laid, entries.islands, points, normals, entries.inside, overlapping)
