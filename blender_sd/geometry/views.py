"""Cameras, and what each of their pixels sees first."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_cdt

from .slices import Cancelled, each, never
from .surface import Surface

NOTHING = -1
_EDGES = 32  # pixels up to which the distance to an edge is of interest


@dataclass(frozen=True, eq=False)
class View:
    """A camera without lens distortion.

    A point at `right`, `up`, `depth` along the axes is seen at pixel x = scale[0]·right/depth + centre[0],
    y = centre[1] − scale[1]·up/depth; without the division by depth if the camera is orthographic. Pixel (i, j) covers
    i ≤ x < i+1, j ≤ y < j+1; row 0 is on top.

    Attributes:
        origin: 3, the position in the world.
        axes: 3×3 orthonormal, its rows pointing right, up and forward.
        scale: 2, in pixels.
        centre: 2, in pixels; not the middle of the picture if the lens is shifted.
        width, height: The picture's size in pixels.
        perspective: Whether it is a perspective camera, else an orthographic one.
        near, far: The depths between which surfaces are drawn.
    """

    origin: np.ndarray
    axes: np.ndarray
    scale: tuple[float, float]
    centre: tuple[float, float]
    width: int
    height: int
    perspective: bool = True
    near: float = 0.0
    far: float = np.inf

    def in_box(self, surface: Surface) -> View:
        """Return the view in the unit box of `surface`."""
        factor = surface.scale
        scale = self.scale if self.perspective else (self.scale[0] * factor, self.scale[1] * factor)
        return replace(self, origin=surface.in_box(self.origin), axes=np.asarray(self.axes, np.float64), scale=scale,
                       near=self.near / factor, far=self.far / factor)

    def camera_points(self, points: np.ndarray) -> np.ndarray:
        """Return N×3 positions as right, up, depth."""
        return (points - self.origin.astype(points.dtype)) @ self.axes.T.astype(points.dtype)

    def pixels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y in pixels of positions given as right, up, depth (N×3)."""
        depth = points[:, 2] if self.perspective else 1.0
        return (points[:, 0] / depth * self.scale[0] + self.centre[0],
                self.centre[1] - points[:, 1] / depth * self.scale[1])

    def slopes(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return right and up of the pixels' centres: at depth 1 for a perspective camera, at any depth else."""
        return ((columns + (0.5 - self.centre[0])) / self.scale[0], (self.centre[1] - 0.5 - rows) / self.scale[1])

    def rays(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return origins and directions (N×3) through the pixels' centres; depth grows by 1 along each direction."""
        right, up = self.slopes(np.asarray(columns, np.float64), np.asarray(rows, np.float64))
        across = right[:, None] * self.axes[0] + up[:, None] * self.axes[1]
        if self.perspective:
            directions = across + self.axes[2]
            return self.origin + directions * self.near, directions
        return self.origin + across + self.axes[2] * self.near, self.axes[2][None]

    def eye_ends(self, points: np.ndarray) -> np.ndarray:
        """Return where the segments end (N×3) that lead from positions towards the camera, as far as it draws."""
        depth = self.camera_points(points)[:, 2:]
        if self.perspective:
            return self.origin + (points - self.origin) * (self.near / np.maximum(depth, 1e-12))
        return points - self.axes[2] * np.maximum(depth - self.near, 0)

    def off_plane(self, columns: np.ndarray, rows: np.ndarray, depth: np.ndarray, normal: np.ndarray, plane: np.ndarray
                  ) -> np.ndarray:
        """Return how far what pixels see lies off planes.

        Args:
            columns, rows: N whole numbers, the pixels.
            depth: N, what is seen there.
            normal: N×3, the planes' normals along the camera's axes.
            plane: N, the planes' offsets: the product of normals and positions on them.
        """
        right, up = self.slopes(columns.astype(np.float64), rows.astype(np.float64))
        with np.errstate(invalid="ignore"):
            if self.perspective:
                return np.abs(depth * (normal[:, 0] * right + normal[:, 1] * up + normal[:, 2]) - plane)
            return np.abs(normal[:, 0] * right + normal[:, 1] * up + normal[:, 2] * depth - plane)

    def scales(self) -> float:
        """Return the pixels per unit of length, at depth 1 for a perspective camera."""
        return float(np.sqrt(self.scale[0] * self.scale[1]))


@dataclass(frozen=True, eq=False)
class Hits:
    """What a view's pixels see first, with a border of one pixel that sees nothing.

    Attributes:
        triangles: (H+2)×(W+2) int32; NOTHING where no triangle is hit.
        regions: The same of `Surface.regions`; NOTHING also where the back of a face or an occluder is seen.
        places: (H+2)×(W+2)×3 float32, the point that is hit as right, up, depth; infinite where none is.
        backs: The number of pixels that see the back of a face with a texture.
    """

    triangles: np.ndarray
    regions: np.ndarray
    places: np.ndarray
    backs: int

    @property
    def depth(self) -> np.ndarray:
        """(H+2)×(W+2) float32, the depth of the point that is hit; infinite where none is."""
        return self.places[..., 2]


def cast(surface: Surface, view: View, cancelled: Cancelled = never) -> np.ndarray:
    """Return the first triangle that each pixel sees: H×W int32, NOTHING for none.

    Only pixels inside the box round the triangles with textures are looked at.

    Args:
        surface: The triangles.
        view: The camera, in the unit box.
        cancelled: See `slices`.

    Raises:
        JobCancelled: `cancelled` returned True.
        GeometryMissing: embreex is not installed.
    """
    result = np.full((view.height, view.width), NOTHING, np.int32)
    left, top, right, bottom = _screen_box(surface, view)
    columns = np.arange(left, right)
    rays = surface.rays

    def rows_of(part: slice) -> None:
        rows = np.arange(top, bottom)[part]
        grid = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        result[rows, left:right] = rays.first(*view.rays(grid[1], grid[0])).reshape(len(rows), -1)

    if right > left and bottom > top:
        each(rows_of, bottom - top, cancelled, max(1, (1 << 18) // len(columns)))
    return result


def _screen_box(surface: Surface, view: View) -> tuple[int, int, int, int]:
    used = np.unique(surface.triangles[surface.textures >= 0])
    points = view.camera_points(surface.vertices[used])
    if view.perspective and points[:, 2].min() <= max(view.near, 1e-6):
        return 0, 0, view.width, view.height  # behind the camera too: anywhere
    x, y = view.pixels(points)
    left, right = np.clip([np.floor(x.min()) - 1, np.ceil(x.max()) + 1], 0, view.width).astype(int)
    top, bottom = np.clip([np.floor(y.min()) - 1, np.ceil(y.max()) + 1], 0, view.height).astype(int)
    return int(left), int(top), int(right), int(bottom)


def hits_of(surface: Surface, view: View, triangles: np.ndarray) -> Hits:
    """Return the hits of a view whose pixels see `triangles` (H×W, from `cast`); places are computed in double."""
    shape = (view.height + 2, view.width + 2)
    padded = np.full(shape, NOTHING, np.int32)
    padded[1:-1, 1:-1] = triangles
    regions = np.full(shape, NOTHING, np.int32)
    places = np.full((*shape, 3), np.inf, np.float32)
    anchors = surface.vertices[surface.triangles[:, 0]] - view.origin
    camera_normals = surface.normals @ view.axes.T
    offsets = np.einsum("ij,ij->i", surface.normals, anchors)
    backs = np.zeros(view.height, np.int64)

    def rows_of(part: slice) -> None:
        seen = triangles[part]
        row, column = np.nonzero(seen != NOTHING)
        hit = seen[row, column]
        right, up = view.slopes(column.astype(np.float64), (row + part.start).astype(np.float64))
        normal = camera_normals[hit]
        side = normal[:, 0] * right + normal[:, 1] * up
        facing = side + normal[:, 2] if view.perspective else normal[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (offsets[hit] if view.perspective else offsets[hit] - side) / facing
        front = (facing < 0) & np.isfinite(depth)
        textured = surface.regions[hit] >= 0
        along = depth if view.perspective else np.ones_like(depth)
        place = np.stack([right * along, up * along, depth], 1)
        place[~np.isfinite(depth)] = np.inf
        places[row + part.start + 1, column + 1] = place
        regions[row + part.start + 1, column + 1] = np.where(front & textured, surface.regions[hit], NOTHING)
        np.add.at(backs, row[~front & textured] + part.start, 1)

    each(rows_of, view.height, size=max(1, (1 << 17) // view.width))
    return Hits(padded, regions, places, int(backs.sum()))


def edge_distance(hits: Hits, view: View) -> np.ndarray:
    """Return how many pixels each pixel lies from the next silhouette, region or fold: (H+2)×(W+2) uint8, at most 32.

    The pixels on both sides of an edge have 1; pixels that see nothing usable have 0.
    """
    regions, depth = hits.regions, hits.depth
    usable = regions != NOTHING
    edge = ~usable
    with np.errstate(invalid="ignore"):
        for axis in (0, 1):
            ahead = [slice(None), slice(None)]
            behind = [slice(None), slice(None)]
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            near, far = tuple(behind), tuple(ahead)
            broken = (regions[near] != regions[far]) | (_step(depth[near], depth[far], view))
            edge[near] |= broken
            edge[far] |= broken
    distance = distance_transform_cdt(~edge, "chessboard") + 1
    return np.where(usable, np.minimum(distance, _EDGES), 0).astype(np.uint8)


def _step(one: np.ndarray, other: np.ndarray, view: View) -> np.ndarray:
    """Return whether the depth steps by more than a surface at a usable angle does from pixel to pixel."""
    pixel = (np.minimum(one, other) if view.perspective else 1.0) / view.scales()
    return np.abs(one - other) > _STEEP * pixel


_STEEP = 8.0  # pixels of depth per pixel: steeper than any angle that is used
