"""Close the seams between UV islands, and continue the islands' colours beyond their borders."""
from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_cdt
from scipy.spatial import cKDTree

from .cells import entries_by_texel
from .slices import Cancelled, each, never
from .texels import Texels

BAND = 6  # texels from a border in which colours are changed
_SAME_PLACE = 3.0  # texels in space: where UVs overlap, others lie on the same place
_LEAST = 1e-3  # the trust in filled texels
DILATION = 16  # texels round the islands that get the border's colours


def close(texels: Texels, colours: np.ndarray, trust: np.ndarray, known: np.ndarray, cancelled: Cancelled = never
          ) -> None:
    """Change the colours along seams so that both sides agree: each takes a part of the difference, less and less
    inwards.

    The two sides of a seam are the same points in space, so that nothing is blurred. The less trusted side takes more.

    Args:
        texels: The table, with one entry for each texel.
        colours: N×3 float32; changed.
        trust: N float32: how well a view saw the entry; 0 where it was filled.
        known: N bool: entries that have a colour.
        cancelled: See `slices`.

    Raises:
        JobCancelled: `cancelled` returned True.
    """
    layout = texels.layout
    samples, borders = layout.border_samples, layout.borders
    if not (borders.twin >= 0).any():
        return
    twin = borders.twin[samples.edge]
    paired = np.flatnonzero(twin >= 0)
    points = layout.surface.points(layout.triangle[borders.laid[samples.edge]],
                                   borders.weights(samples.edge, samples.along))
    size = borders.texel_size(layout)
    at = entries_by_texel(texels)
    at[texels.texel[~known]] = -1
    values = np.concatenate([colours, trust[:, None]], 1)
    sides = [_values(texels, at, values, layout.sheet[borders.laid[edge]], place[paired], points[paired], size[edge])
             for edge, place in ((samples.edge[paired], samples.here), (twin[paired], samples.there))]
    share = (sides[1][:, 3] + _LEAST) / (sides[0][:, 3] + sides[1][:, 3] + 2 * _LEAST)
    change = np.zeros((len(samples.edge), 3), np.float32)  # nothing changes at borders without another side
    change[paired] = np.nan_to_num((sides[1][:, :3] - sides[0][:, :3]) * share[:, None])
    sheet_of = layout.sheet[borders.laid[samples.edge]]
    for number in range(len(layout.sheets)):
        mine = np.flatnonzero(sheet_of == number)
        if len(mine):
            _correct(texels, at, colours, number, samples.here[mine], points[mine], size[samples.edge[mine]],
                     change[mine], cancelled)


def _correct(texels: Texels, at: np.ndarray, colours: np.ndarray, number: int, here: np.ndarray, points: np.ndarray,
             size: np.ndarray, change: np.ndarray, cancelled: Cancelled) -> None:
    """Add `change` of border samples to the entries of a sheet that are nearest to them."""
    sheet, start = texels.layout.sheets[number], texels.layout.starts[number]
    covered = at[start : start + sheet.width * sheet.height].reshape(sheet.height, sheet.width) >= 0
    inward = distance_transform_cdt(np.pad(covered, 1), "chessboard")[1:-1, 1:-1]
    rows, columns = np.nonzero((inward > 0) & (inward <= BAND))
    tree = cKDTree(here, balanced_tree=False, compact_nodes=False)

    def part_of(part: slice) -> None:
        row, column = rows[part], columns[part]
        distance, near = tree.query(np.stack([column, row], 1) + 0.5, distance_upper_bound=BAND)
        found = np.isfinite(distance)
        distance, near = distance[found], near[found]
        entry = at[start + row[found] * sheet.width + column[found]]
        away = np.linalg.norm(texels.points[entry] - points[near], axis=1)
        # Full strength over the first texel, which bilinear filtering reads at the border itself.
        share = np.clip((BAND - distance) / (BAND - 1), 0, 1) ** 2 * (away < (BAND + 2) * size[near])
        colours[entry] += change[near] * share[:, None].astype(np.float32)

    each(part_of, len(rows), cancelled, 1 << 15)


def _values(texels: Texels, at: np.ndarray, values: np.ndarray, sheet: np.ndarray, place: np.ndarray,
            points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return `values` (N×K) bilinearly at `place` (n×2, in texels of `sheet`), from those of the four texels that show
    the surface near `points` (n×3, `size` long for a texel); NaN where none does.
    """
    layout = texels.layout
    widths = np.array([one.width for one in layout.sheets])[sheet]
    heights = np.array([one.height for one in layout.sheets])[sheet]
    x, y = place[:, 0] - 0.5, place[:, 1] - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    total, sum_ = np.zeros((len(place), values.shape[1]), np.float32), np.zeros(len(place), np.float32)
    for down in (0, 1):
        for right in (0, 1):
            row, column = np.clip(top + down, 0, heights - 1), np.clip(left + right, 0, widths - 1)
            entry = at[layout.starts[sheet] + row * widths + column]
            weight = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top)) * (entry >= 0)
            weight *= np.linalg.norm(texels.points[entry] - points, axis=1) < _SAME_PLACE * size
            total += values[entry] * weight[:, None].astype(np.float32)
            sum_ += weight.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sum_[:, None] > 1e-6, total / sum_[:, None], np.nan)


def dilation(covered: np.ndarray, reach: int = DILATION) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows and columns of the texels up to `reach` from covered ones, and those of the nearest covered one.

    Args:
        covered: H×W bool.
        reach: In texels.
    """
    # The nearest covered texel of each row first, then over the rows: exact, in time that is linear in the texels.
    column = _nearest_in_rows(covered, reach)
    best = (column - np.arange(covered.shape[1], dtype=np.int32)) ** 2
    best[column < 0] = _FAR
    base = best.copy()
    row_of = np.zeros(covered.shape, np.int8)
    for step in range(1, reach + 1):
        for sign in (-1, 1):
            here, there = _shifted(sign * step)
            candidate = base[there] + step * step
            better = candidate < best[here]
            best[here][better] = candidate[better]
            row_of[here][better] = sign * step
    rows, columns = np.nonzero((best <= reach * reach) & ~covered)
    source = rows + row_of[rows, columns]
    return rows, columns, source, column[source, columns]


_FAR = 1 << 20


def _shifted(step: int) -> tuple[slice, slice]:
    """Return the rows, and those `step` rows below them."""
    return (slice(None, -step), slice(step, None)) if step > 0 else (slice(-step, None), slice(None, step))


def _nearest_in_rows(covered: np.ndarray, reach: int) -> np.ndarray:
    """Return the column of the nearest covered texel in each texel's row, up to `reach` away; −1 for none."""
    width = covered.shape[1]
    columns = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(covered, columns, -_FAR), axis=1)
    after = np.minimum.accumulate(np.where(covered, columns, _FAR)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(columns - before <= after - columns, before, after)
    return np.where(np.abs(nearest - columns) <= reach, nearest, -1).astype(np.int32)
