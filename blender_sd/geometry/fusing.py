"""Fuse what several views estimate of a surface's maps: a median at each texel, on the true normals of the mesh.

A view knows relief as slopes in its picture. These become vectors in the world, by which a surface's height grows, so
that views and both sides of a seam can be compared; only the finished map is written in the tangents of the UVs.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from . import gather, harmonise
from .bake import Baked, Baker, Prepared, Report, Settings
from .blend import Blend
from .cells import divide
from .gather import Picture
from .sheets import Sheet
from .slices import Cancelled, each, never, together
from .surface import Surface
from .views import View

_CHANNELS = 8  # base colour, the world vector of the slopes, roughness, metallic
_READ = 1 << 15  # entries that are read from all views in turn
_SHARPNESS = 4  # the power of a view's quality that is its weight, as for the mean of a bake
_STEEPEST = 4.0  # slope
_NO_AREA = 1e-14  # of a triangle's UVs
_SAME_UV = 1 << 20  # steps of UVs in one unit: corners within one are the same


@dataclass(frozen=True, eq=False)
class ViewMaps:
    """What is estimated of one view.

    Attributes:
        base: H×W×4 float32, base colour in linear light.
        slope: H×W×2 float32, the relief's slopes rightwards and downwards, pixels of height per pixel.
        roughness, metallic: H×W float32, 0 to 1.
    """

    base: np.ndarray
    slope: np.ndarray
    roughness: np.ndarray
    metallic: np.ndarray


@dataclass(frozen=True, eq=False)
class Fused:
    """The maps of one sheet, row 0 on top.

    Attributes:
        base: The base colour.
        normal: H×W×3 float32, unit normals in tangent space, y up (OpenGL's).
        roughness: H×W float32.
        metallic: Whether its material is a metal.
    """

    base: Baked
    normal: np.ndarray
    roughness: np.ndarray
    metallic: bool


class MapBaker(Baker):
    """Fuse the maps of views; `fuse` does it all."""

    def __init__(self, surface: Surface, sheets: Sequence[Sheet], settings: Settings, cancelled: Cancelled = never
                 ) -> None:
        """Prepare to fuse onto `sheets`."""
        super().__init__(surface, sheets, settings, cancelled)
        self._written: Callable[[np.ndarray], np.ndarray] | None = None

    def fuse(self, views: Sequence[View], maps: Sequence[ViewMaps], keep: Sequence[np.ndarray | None] = ()
             ) -> tuple[list[Fused], Report]:
        """Return the maps of each sheet.

        Args:
            views: The cameras, in the world.
            maps: What is estimated of each; of its view's size.
            keep: For each sheet the texels that have no say in whether its material is a metal: H×W bool, or None.

        Raises:
            JobCancelled: It was cancelled.
            GeometryMissing: embreex is not installed.
            SourceUnusable: The UVs cannot be baked.
        """
        self.measure()
        medians, report = self._medians(views, maps)
        base = self._finished(medians, slice(0, 3))
        self._written = self._in_tangents
        details = self._finished(medians, slice(3, 6))
        self._written = None
        rest = self._finished(medians, slice(5, 8))  # the second is roughness; metallic is decided for all of a sheet
        metallic = self._metallic(medians, keep)
        return [Fused(colour, _flat_where_unset(detail), np.where(other.set, other.colours[..., 1], 0.5).clip(0, 1),
                      metallic[sheet.texture])
                for colour, detail, other, sheet in zip(base, details, rest, self.layout.sheets)], report

    # ---- the medians ---------------------------------------------------------------------------------------------

    def _medians(self, views: Sequence[View], maps: Sequence[ViewMaps]) -> tuple[_Medians, Report]:
        prepared = _PreparedMaps(self.surface, views, maps, self.settings, self.cancelled)
        self.cells = divide(self.texels)
        gains, offsets = self._levels(prepared)
        shows = np.zeros(len(views), bool)
        groups = [self._median_of(group, prepared.of(group), gains, offsets, shows) for group in prepared.groups]
        medians = groups[0] if len(groups) == 1 else self._together(groups)
        if self.texels.overlapping:
            medians = self._resolve(medians)  # type: ignore[arg-type,assignment]  # it asks for quality and `chosen`
        inside, seen = self.texels.inside, medians.quality > 0
        return medians, Report(float(seen[inside].mean()) if inside.any() else 0.0, self.texels.overlapping,
                               prepared.backs, tuple(np.flatnonzero(~shows).tolist()))

    def _levels(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Return the gain and offset of each view's base colour: V×3 float32 each."""
        if not self.settings.harmonise or len(prepared) < 2:
            return np.ones((len(prepared), 3), np.float32), np.zeros((len(prepared), 3), np.float32)
        sampled = harmonise.sample(self.texels)
        part = self.texels.chosen(sampled.entries)
        readings = [reading for group in prepared.groups for reading in together(
            [partial(gather.read_part, part, replace(picture, more=None)) for picture in prepared.of(group)],
            self.cancelled)]
        gains, offsets = harmonise.solve(sampled, readings)
        return gains.astype(np.float32), offsets.astype(np.float32)

    def _median_of(self, group: range, pictures: Sequence[Picture], gains: np.ndarray, offsets: np.ndarray,
                   shows: np.ndarray) -> _Medians:
        """Return the medians of the views of a group, and note in `shows` which of them show anything."""
        texels, medians = self.texels, _Medians.empty(self.texels.count)
        facing = [picture.facing[self.layout.triangle] for picture in pictures]

        def read(part: slice) -> None:
            count = part.stop - part.start
            values = np.zeros((len(pictures), count, _CHANNELS), np.float32)
            weights = np.zeros((len(pictures), count), np.float32)
            filled = np.zeros(count, np.intp)  # how many views have shown each entry so far
            for number, picture, mine in zip(group, pictures, facing):
                reading = gather.read(texels, picture, part, mine)
                if not len(reading.entries):
                    continue
                shows[number] = True
                reading.colours[:, :3] = reading.colours[:, :3] * gains[number] + offsets[number]
                here = reading.entries - part.start
                values[filled[here], here] = reading.colours
                weights[filled[here], here] = reading.quality ** _SHARPNESS
                filled[here] += 1
                medians.quality[reading.entries] = np.maximum(medians.quality[reading.entries], reading.quality)
            most = int(filled.max(initial=0))
            medians.values[part] = weighted_median(values[:most], weights[:most])
            medians.weights[part] = weights.sum(0)

        each(read, texels.count, self.cancelled, _READ)
        return medians

    def _together(self, groups: Sequence[_Medians]) -> _Medians:
        """Return the medians of several groups' medians, each with the weight of its views."""
        result = _Medians.empty(self.texels.count)

        def fuse(part: slice) -> None:
            weights = np.stack([group.weights[part] for group in groups])
            result.values[part] = weighted_median(np.stack([group.values[part] for group in groups]), weights)
            result.weights[part] = weights.sum(0)
            result.quality[part] = np.max([group.quality[part] for group in groups], 0)

        each(fuse, self.texels.count, self.cancelled, _READ)
        return result

    # ---- the finished maps ---------------------------------------------------------------------------------------

    def _finished(self, medians: _Medians, channels: slice) -> list[Baked]:
        """Return three channels filled, with closed seams and margins."""
        blend, seen = Blend.empty(self.texels.count), medians.quality > 0
        blend.sums[:, :3], blend.sums[:, 3] = medians.values[:, channels], seen
        blend.quality[:], blend.view[seen] = medians.quality, 0
        return self.finish(blend)

    def _image(self, number: int, blend: Blend, colours: np.ndarray, known: np.ndarray) -> Baked:
        return super()._image(number, blend, self._written(colours) if self._written is not None else colours, known)

    def _in_tangents(self, world: np.ndarray) -> np.ndarray:
        """Return vectors by which the height grows (N×3, world) as unit normals in the tangents of the UV maps."""
        texels, layout = self.texels, self.layout
        corners, hand = tangents(layout.surface, self._unturned())
        result = np.empty_like(world)

        def write(part: slice) -> None:
            triangle, normal = layout.triangle[texels.laid[part]], texels.normals[part]
            places = layout.surface.vertices[layout.surface.triangles[triangle]]
            weights = _barycentric(texels.points[part].astype(np.float64), places)
            right = _unit(np.einsum("nc,ncj->nj", weights, corners[triangle]))
            top = np.cross(normal, right) * hand[triangle, None]
            slope = np.stack([_dot(world[part], right), _dot(world[part], top)], 1).clip(-_STEEPEST, _STEEPEST)
            result[part] = _unit(np.concatenate([-slope, np.ones((len(slope), 1), np.float32)], 1))

        each(write, len(world), self.cancelled)
        return result

    def _unturned(self) -> np.ndarray:
        """Return the UVs (T×3×2) as they are in the UV maps, but for their place."""
        surface = self.layout.surface
        uv = np.array(surface.uv)
        for texture, turn in {sheet.texture: sheet.turn for sheet in self.layout.sheets}.items():
            mine = surface.textures == texture
            uv[mine] = uv[mine] @ np.linalg.inv(np.array(turn).reshape(2, 2)).T
        return uv

    def _metallic(self, medians: _Medians, keep: Sequence[np.ndarray | None]) -> dict[int, bool]:
        """Return for each texture whether more than half of what is seen of it, and not kept, is metal."""
        texture = self.layout.surface.textures[self.layout.triangle[self.texels.laid]]
        seen = medians.quality > 0
        if any(kept is not None for kept in keep):
            sheet, row, column = self.texels.places()
            for number, kept in enumerate(keep):
                if kept is not None:
                    here = np.flatnonzero(sheet == number)
                    seen[here] &= ~kept[row[here], column[here]]
        result = {}
        for number in {sheet.texture for sheet in self.layout.sheets}:
            mine = seen & (texture == number)
            result[number] = bool(mine.any() and (medians.values[mine, 7] > 0.5).mean() > 0.5)
        return result


@dataclass(frozen=True, eq=False)
class _Medians:
    """The medians over views of N entries: N×8 `values`, and N each of the sum of the views' `weights` and of the best
    view's `quality` (0 where there is none)."""

    values: np.ndarray
    weights: np.ndarray
    quality: np.ndarray

    @classmethod
    def empty(cls, count: int) -> _Medians:
        return cls(np.zeros((count, _CHANNELS), np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32))

    def chosen(self, entries: np.ndarray) -> _Medians:
        return _Medians(self.values[entries], self.weights[entries], self.quality[entries])


class _PreparedMaps(Prepared):
    """Views whose pictures carry all channels."""

    def __init__(self, surface: Surface, views: Sequence[View], maps: Sequence[ViewMaps], settings: Settings,
                 cancelled: Cancelled) -> None:
        super().__init__(surface, views, [item.base for item in maps], settings.soft, cancelled, settings.fade)
        self._maps = maps

    def _prepare(self, number: int) -> Picture:
        picture, maps = super()._prepare(number), self._maps[number]
        more = np.zeros((picture.view.height + 2, picture.view.width + 2, _CHANNELS - 3), np.float32)
        more[1:-1, 1:-1, :3] = _in_world(picture.view, maps.slope)
        more[1:-1, 1:-1, 3], more[1:-1, 1:-1, 4] = maps.roughness, maps.metallic
        return replace(picture, more=more.reshape(-1, _CHANNELS - 3))


def _in_world(view: View, slope: np.ndarray) -> np.ndarray:
    """Return H×W×3 vectors whose product with any step along the surface that a pixel sees is how much the height grows
    over it: exact for any surface, since what is foreshortened is steeper in the picture by as much."""
    right, up, forward = view.axes.astype(np.float32)
    across, above = np.zeros(view.width, np.float32), np.zeros(view.height, np.float32)
    if view.perspective:  # a step away from the camera moves a point on its ray, not straight ahead
        across, above = (values.astype(np.float32) for values in view.slopes(np.arange(view.width),
                                                                             np.arange(view.height)))
    along_right = right - across[None, :, None] * forward
    along_up = up - above[:, None, None] * forward
    return slope[..., :1] * along_right - slope[..., 1:] * along_up


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median over the first axis, interpolated between the two values in the middle: n×K float32;
    0 where all weights are 0.

    Args:
        values: V×n×K.
        weights: V×n, 0 or more; values of the weight 0 do not count.
    """
    if not len(values):
        return np.zeros(values.shape[1:], np.float32)
    ranked = np.where(weights[..., None] > 0, values, np.inf)
    order = np.argsort(ranked, axis=0)
    ranked = np.take_along_axis(ranked, order, 0)
    mine = np.take_along_axis(np.broadcast_to(weights[..., None], values.shape), order, 0)
    middle = np.cumsum(mine, 0) - mine / 2  # where each value lies on the way from no weight to all of it
    half = weights.sum(0)[..., None] / 2
    last = np.maximum((weights > 0).sum(0) - 1, 0)[..., None]  # rounding must not lead beyond it
    after = np.minimum((middle < half).sum(0), last)[None]
    before = np.maximum(after - 1, 0)
    first, second = (np.take_along_axis(ranked, index, 0)[0] for index in (before, after))
    start, end = (np.take_along_axis(middle, index, 0)[0] for index in (before, after))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((half - start) / (end - start), 0, 1)
        mixed = first + (second - first) * np.nan_to_num(share)
    return np.where(half > 0, mixed, 0).astype(np.float32)


def tangents(surface: Surface, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tangents of all corners as renderers smooth them (MikkTSpace, Mikkelsen 2008), T×3×3 float32 of unit
    length, 0 where UVs (T×3×2) have no area; and T float32, 1 where the UVs are handed as the surface is, −1 where
    mirrored.
    """
    corners = surface.vertices[surface.triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u1, v1), (u2, v2) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    area = u1 * v2 - u2 * v1
    hand = np.where(area < 0, -1, 1)
    along = (first * v2[:, None] - second * v1[:, None]) * np.where(np.abs(area) > _NO_AREA, hand, 0)[:, None]
    normals = surface.corner_normals.astype(np.float64)
    flat = _unit(along[:, None] - normals * np.einsum("tcj,tj->tc", normals, along)[..., None])
    edges = [_unit(np.roll(corners, -turn, 1) - corners) for turn in (1, 2)]
    angles = np.arccos(np.clip((edges[0] * edges[1]).sum(-1), -1, 1))
    grid = np.round(uv * _SAME_UV).astype(np.int64).reshape(-1, 2)
    keys = np.column_stack([surface.welded.ravel(), grid, np.repeat(hand, 3)])
    same = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    total = np.stack([np.bincount(same, (flat * angles[..., None]).reshape(-1, 3)[:, axis]) for axis in range(3)], 1)
    smooth = total[same].reshape(-1, 3, 3)
    smooth = _unit(smooth - normals * (smooth * normals).sum(-1, keepdims=True))
    return smooth.astype(np.float32), hand.astype(np.float32)


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the weights (n×3) of triangles' corners (n×3×3) at points on them."""
    first, second, to = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    a, b, c, d, e = _dot(first, first), _dot(first, second), _dot(second, second), _dot(to, first), _dot(to, second)
    size = np.maximum(a * c - b * b, 1e-30)
    across, up = (c * d - b * e) / size, (a * e - b * d) / size
    return np.clip(np.stack([1 - across - up, across, up], 1), 0, 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", one, other)


def _flat_where_unset(baked: Baked) -> np.ndarray:
    """Return a sheet's normals, flat where nothing is known."""
    return np.where(baked.set[..., None], baked.colours, np.array([0, 0, 1], np.float32))
