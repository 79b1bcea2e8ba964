"""Read one picture at the texels that its camera sees."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .slices import Cancelled, each, never
from .surface import Surface
from .texels import Texels
from .views import NOTHING, Hits, View, edge_distance, hits_of

LEAST_COS = 0.25  # nothing is read at a flatter angle: about 75°
_ON_SURFACE = 1.0  # pixels by which a hit may lie off a texel's plane to be of its own surface
_CERTAIN = 0.25  # pixels: if all four hits are this near, nothing can be between
_LIFT = 2e-5  # of the unit box: how far above its surface an occlusion ray starts
# A view's quality falls towards edges, but slowly: where it falls fast, another view takes over in a step.
_FADE = 24.0  # pixels from an edge at which it is full
_AT_EDGE = 1.2  # how far its logarithm falls


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its camera, ready to be read.

    Attributes:
        view: The camera, in the unit box.
        colours: (H+2)·(W+2)×4 float32 in linear light, a pixel of border on each side.
        hits: What the pixels see.
        edges: (H+2)×(W+2) uint8, pixels to the next edge.
        soft: Pixels at edges that are not read, because they are antialiased and show what is behind as well.
        reference: Pixels per unit of length that give a quality of 1 at a right angle.
    """

    view: View
    colours: np.ndarray
    hits: Hits
    edges: np.ndarray
    soft: int
    reference: float


def prepare(surface: Surface, view: View, colours: np.ndarray, triangles: np.ndarray, soft: int,
            reference: float) -> Picture:
    """Return a picture ready to be read.

    Args:
        surface: The triangles.
        view: The camera, in the unit box.
        colours: H×W×4 float32 in linear light; transparent pixels are not read.
        triangles: What its pixels see, from `views.cast`.
        soft, reference: See `Picture`.
    """
    hits = hits_of(surface, view, triangles)
    padded = np.zeros((view.height + 2, view.width + 2, 4), np.float32)
    padded[1:-1, 1:-1] = colours
    edges = edge_distance(hits, view)
    usable = (padded[..., 3] > 0) & (edges > soft)
    hits.regions[~usable] = NOTHING
    return Picture(view, padded.reshape(-1, 4), hits, edges, soft, reference)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a picture shows at some entries.

    Attributes:
        entries: n indices into the table.
        colours: n×3 float32, linear light.
        quality: n float32 > 0: 1 for a full view at a right angle.
    """

    entries: np.ndarray
    colours: np.ndarray
    quality: np.ndarray


def facing(surface: Surface, view: View) -> np.ndarray:
    """Return for each triangle whether `view` may see a texel of it well enough: T bool."""
    to_eye = view.origin - surface.vertices if view.perspective else np.repeat(-view.axes[2:], len(surface.vertices), 0)
    to_eye = to_eye / np.maximum(np.linalg.norm(to_eye, axis=1, keepdims=True), 1e-12)
    corners = surface.triangles
    result = np.zeros(len(corners), bool)
    for corner in range(3):
        towards = to_eye[corners[:, corner]]
        for normal in (surface.normals, surface.corner_normals[:, corner]):
            result |= np.einsum("ij,ij->i", normal, towards) > LEAST_COS
    if view.perspective:  # the angle is largest in the middle of triangles that are large as seen from the camera
        spread = np.einsum("ij,ij->i", to_eye[corners[:, 0]], to_eye[corners[:, 1]])
        spread = np.minimum(spread, np.einsum("ij,ij->i", to_eye[corners[:, 0]], to_eye[corners[:, 2]]))
        result |= spread < 0.9
    return result & (surface.textures >= 0)


def read(texels: Texels, picture: Picture, part: slice, seen: np.ndarray) -> Reading:
    """Return what `picture` shows at the entries of `part`.

    A texel is read bilinearly from those of its four pixels whose hits lie on its own surface: on the same connected
    piece of the same texture, facing the camera and within a pixel of its plane. Where any of them is in doubt, a ray
    from the texel to the camera decides whether something is between.

    Args:
        texels: The table.
        picture: The picture.
        part: A slice of entries.
        seen: F bool, laid-out triangles that the camera may see (`facing`).
    """
    view, hits = picture.view, picture.hits
    entries = np.flatnonzero(seen[texels.laid[part]]) + part.start
    points, normals = texels.points[entries], texels.normals[entries]
    local = view.camera_points(points)
    normal = normals @ view.axes.T.astype(np.float32)
    depth = local[:, 2]
    plane = np.einsum("ij,ij->i", normal, local)  # the distance of the texel's plane from the camera, negative in front
    if view.perspective:
        cos = -plane / np.sqrt(np.einsum("ij,ij->i", local, local))
    else:
        cos = -normal[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = view.pixels(local)
    keep = (cos > LEAST_COS) & (depth > view.near) & (depth < view.far)
    keep &= (x > 0) & (y > 0) & (x < view.width) & (y < view.height)
    entries, points, normal, plane, depth, cos, x, y = (
        values[keep] for values in (entries, points, normal, plane, depth, cos, x, y))
    x, y = x - np.float32(0.5), y - np.float32(0.5)
    left, top = np.floor(x), np.floor(y)
    taps = _Taps(texels, picture, entries, normal, plane, depth, left, top)
    colours, weight, certain = taps.read(x - left, y - top)
    keep = weight > 1e-6
    doubt = np.flatnonzero(keep & ~certain)
    if len(doubt):
        blocked = _blocked(texels, picture, entries[doubt], points[doubt])
        keep[doubt[blocked]] = False
    entries, colours, weight, cos, depth = (values[keep] for values in (entries, colours, weight, cos, depth))
    colours = colours / weight[:, None]
    nearest = _index(hits, np.rint(x[keep]), np.rint(y[keep]))
    away = np.float32(_AT_EDGE) * np.minimum(picture.edges.ravel()[nearest] / np.float32(_FADE) - 1, 0)
    density = view.scales() / picture.reference / (depth if view.perspective else np.ones_like(depth))
    quality = cos * np.sqrt(density) * np.exp(away) * (0.5 + 0.5 * weight)
    return Reading(entries, colours, np.maximum(quality, 1e-6).astype(np.float32))


class _Taps:
    """The four pixels round each texel."""

    def __init__(self, texels: Texels, picture: Picture, entries: np.ndarray, normal: np.ndarray, plane: np.ndarray,
                 depth: np.ndarray, left: np.ndarray, top: np.ndarray) -> None:
        layout = texels.layout
        self.picture, self.view = picture, picture.view
        self.region = layout.region[texels.laid[entries]]
        self.normal, self.plane = normal, plane
        pixel = (depth if self.view.perspective else np.float32(1)) / np.float32(self.view.scales())
        self.pixel = pixel
        self.base = _index(picture.hits, left, top)
        self.right, self.up = (values.astype(np.float32) for values in self.view.slopes(left, top))

    def read(self, across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the weighted sum of the colours (n×3), the weights' sum, and whether nothing can be between."""
        hits, colours = self.picture.hits, self.picture.colours
        regions, depths = hits.regions.ravel(), hits.depth.ravel()
        total = np.zeros((len(across), 4), np.float32)
        sum_ = np.zeros(len(across), np.float32)
        certain = np.ones(len(across), bool)
        step = np.float32(1 / self.view.scale[0]), np.float32(-1 / self.view.scale[1])
        for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
            index = self.base + (row * hits.stride + column)
            own = regions[index] == self.region
            off = self._off(self.right + column * step[0], self.up + row * step[1], depths[index])
            with np.errstate(invalid="ignore"):
                own &= off < _ON_SURFACE * self.pixel
                certain &= own & (off < _CERTAIN * self.pixel)
            weight = (across if column else 1 - across) * (down if row else 1 - down) * own
            colour = colours[index]
            weight = weight * colour[:, 3]
            total += colour * weight[:, None]
            sum_ += weight
        return total[:, :3], sum_, certain

    def _off(self, right: np.ndarray, up: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return the distance of hits from the texels' planes."""
        normal = self.normal
        with np.errstate(invalid="ignore"):
            if self.view.perspective:
                return np.abs(depth * (normal[:, 0] * right + normal[:, 1] * up + normal[:, 2]) - self.plane)
            return np.abs(normal[:, 0] * right + normal[:, 1] * up + normal[:, 2] * depth - self.plane)


def _index(hits: Hits, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return indices of pixels into the flattened arrays with a border."""
    return (row.astype(np.int64) + 1) * hits.stride + (column.astype(np.int64) + 1)


def _blocked(texels: Texels, picture: Picture, entries: np.ndarray, points: np.ndarray) -> np.ndarray:
    layout, view = texels.layout, picture.view
    start = points + layout.surface.normals[layout.triangle[texels.laid[entries]]] * _LIFT
    local = view.camera_points(start)
    if view.perspective:
        end = view.origin + (start - view.origin) * (view.near / np.maximum(local[:, 2:], 1e-12))
    else:
        end = start - view.axes[2] * np.maximum(local[:, 2:] - view.near, 0)
    return layout.surface.rays.blocked(start, end)


def read_part(texels: Texels, picture: Picture) -> Reading:
    """Return what `picture` shows at all entries of a small table."""
    seen = facing(texels.layout.surface, picture.view)[texels.layout.triangle]
    return read(texels, picture, slice(0, texels.count), seen)


def read_all(texels: Texels, picture: Picture, take, cancelled: Cancelled = never) -> None:
    """Call `take(reading)` for every slice of the table, on several cores.

    Raises:
        JobCancelled: `cancelled` returned True.
    """
    seen = facing(texels.layout.surface, picture.view)[texels.layout.triangle]
    each(lambda part: take(read(texels, picture, part, seen)), texels.count, cancelled)
