"""Read one picture at the texels that its camera sees."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .surface import Surface
from .texels import Texels
from .views import NOTHING, View, edge_distance, hits_of

LEAST_COS = 0.25  # nothing is read at a flatter angle: about 75°
_ON_SURFACE = 1.0  # pixels by which a hit may lie off a texel's plane to be of its own surface
_CERTAIN = 0.25  # pixels: if all four hits are this near, nothing can be between
_LIFT = 2e-5  # of the unit box: how far above its surface an occlusion ray starts
# A view's quality falls towards edges, but slowly: where it falls fast, another view takes over in a step.
FADE = 24.0  # pixels from an edge at which it is full
_AT_EDGE = 1.2  # how far its logarithm falls


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its camera, ready to be read.

    Attributes:
        view: The camera, in the unit box.
        pixels: (H+2)·(W+2)×8 float32, with a pixel of border on each side: red, green, blue in linear light, alpha, the
            point that is hit (right, up, depth) and its region. What is read together lies together.
        edges: (H+2)·(W+2) uint8, pixels to the next edge.
        facing: T bool, triangles that the camera may see well enough.
        reference: Pixels per unit of length that give a quality of 1 at a right angle.
        backs: The number of pixels that see the back of a face with a texture.
        fade: Pixels from an edge at which the quality is full.
        more: (H+2)·(W+2)×K float32, further channels that are read with the colours; None for none.
    """

    view: View
    pixels: np.ndarray
    edges: np.ndarray
    facing: np.ndarray
    reference: float
    backs: int
    fade: float = FADE
    more: np.ndarray | None = None


_REGION = 7  # the column of `Picture.pixels` that holds the region, as an int32


def prepare(surface: Surface, view: View, colours: np.ndarray, triangles: np.ndarray, soft: int,
            reference: float, fade: float = FADE) -> Picture:
    """Return a picture ready to be read.

    Args:
        surface: The triangles.
        view: The camera, in the unit box.
        colours: H×W×4 float32 in linear light; transparent pixels are not read.
        triangles: What its pixels see, from `views.cast`.
        soft: Pixels at edges that are not read, because they are antialiased and show what is behind as well.
        reference, fade: See `Picture`.
    """
    hits = hits_of(surface, view, triangles)
    edges = edge_distance(hits, view)
    pixels = np.zeros((view.height + 2, view.width + 2, 8), np.float32)
    pixels[1:-1, 1:-1, :4] = colours
    pixels[..., 4:_REGION] = hits.places
    usable = (pixels[..., 3] > 0) & (edges > soft)
    pixels[..., _REGION].view(np.int32)[:] = np.where(usable, hits.regions, NOTHING)
    return Picture(view, pixels.reshape(-1, 8), edges.ravel(), facing(surface, view), reference, hits.backs,
                   fade)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a picture shows at some entries.

    Attributes:
        entries: n indices into the table.
        colours: n×3 float32, linear light; then the picture's further channels.
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
    view = picture.view
    entries = np.flatnonzero(seen[texels.laid[part]])
    entries += part.start
    points, normals = np.take(texels.points, entries, 0), np.take(texels.normals, entries, 0)
    local = view.camera_points(points)
    normal = normals @ view.axes.T.astype(np.float32)
    depth = local[:, 2]
    plane = _dot(normal, local)  # the distance of the texel's plane from the camera, negative in front
    cos = -plane / np.sqrt(_dot(local, local)) if view.perspective else -normal[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = view.pixels(local)
    keep = (cos > LEAST_COS) & (depth > view.near) & (depth < view.far)
    keep &= (x > 0) & (y > 0) & (x < view.width) & (y < view.height)
    entries, points, normal, plane, depth, cos, x, y = _kept(
        np.flatnonzero(keep), entries, points, normal, plane, depth, cos, x, y)
    x, y = x - np.float32(0.5), y - np.float32(0.5)
    colours, weight, certain = _taps(texels, picture, entries, normal, plane, depth, x, y)
    keep = weight > 1e-6
    doubt = np.flatnonzero(keep & ~certain)
    if len(doubt):
        blocked = _blocked(texels, picture, entries[doubt], points[doubt])
        keep[doubt[blocked]] = False
    entries, colours, weight, cos, depth, x, y = _kept(
        np.flatnonzero(keep), entries, colours, weight, cos, depth, x, y)
    colours = colours / weight[:, None]
    nearest = _index(view, np.rint(x), np.rint(y))
    density = view.scales() / picture.reference / (depth if view.perspective else np.ones_like(depth))
    quality = quality_of(cos, density, np.take(picture.edges, nearest), picture.fade) * (0.5 + 0.5 * weight)
    return Reading(entries, colours, np.maximum(quality, 1e-6).astype(np.float32))


def quality_of(cos: np.ndarray, density: np.ndarray, edges: np.ndarray, fade: float) -> np.ndarray:
    """Return how well a view shows points, n float32.

    Args:
        cos: n cosines of the angles at which they are seen.
        density: n numbers of pixels per unit of length there.
        edges: n numbers of pixels to the next edge.
        fade: See `Picture`.
    """
    away = np.float32(_AT_EDGE) * np.minimum(edges / np.float32(fade) - 1, 0)
    return cos * np.sqrt(density) * np.exp(away)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1] + one[:, 2] * other[:, 2]


def _kept(index: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the rows `index` (ascending, each once) of all arrays."""
    return arrays if len(index) == len(arrays[0]) else tuple(np.take(values, index, 0) for values in arrays)


def _taps(texels: Texels, picture: Picture, entries: np.ndarray, normal: np.ndarray, plane: np.ndarray,
          depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weighted sum of the colours, and of further channels, of the four pixels round each texel, the
    weights' sum, and whether nothing can be between.
    """
    view, layout = picture.view, texels.layout
    region = np.take(layout.region, np.take(texels.laid, entries))
    pixel = (depth if view.perspective else np.float32(1)) / np.float32(view.scales())
    near, sure = np.float32(_ON_SURFACE) * pixel, np.float32(_CERTAIN) * pixel
    left, top = np.floor(x), np.floor(y)
    base = _index(view, left, top)
    across, down = x - left, y - top
    channels = 3 if picture.more is None else 3 + picture.more.shape[1]
    total, sum_ = np.zeros((len(x), channels), np.float32), np.zeros(len(x), np.float32)
    certain = np.ones(len(x), bool)
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        place = base + (row * (view.width + 2) + column)
        read = np.take(picture.pixels, place, 0)
        with np.errstate(invalid="ignore"):  # what hits nothing is infinitely far
            off = np.abs(_dot(normal, read[:, 4:_REGION]) - plane)
            own = (read.view(np.int32)[:, _REGION] == region) & (off < near)
            certain &= own & (off < sure)
        weight = (across if column else 1 - across) * (down if row else 1 - down) * own * read[:, 3]
        for channel in range(3):
            total[:, channel] += read[:, channel] * weight
        if picture.more is not None:
            total[:, 3:] += np.take(picture.more, place, 0) * weight[:, None]
        sum_ += weight
    return total, sum_, certain


def _index(view: View, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return indices of pixels into the flattened arrays with a border."""
    return (row.astype(np.int64) + 1) * (view.width + 2) + (column.astype(np.int64) + 1)


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
    return read(texels, picture, slice(0, texels.count), picture.facing[texels.layout.triangle])
