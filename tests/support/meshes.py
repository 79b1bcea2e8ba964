"""Meshes with UVs, cameras round them and pictures of a known colour, made in numpy: for tests and the bench "oracle".
"""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("embreex", reason="embreex has no wheel for this machine, or is not installed")

from blender_sd.geometry import views as casting
from blender_sd.geometry.surface import Mesh, Surface
from blender_sd.geometry.views import View

Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # vertices V×3, triangles T×3, uv T×3×2


def mesh(*parts: Part, objects: tuple[int, ...] = (), textures: tuple[int, ...] = ()) -> Mesh:
    """Return one mesh of several parts, each an object of its own with a texture of its own unless named."""
    start, vertices, triangles, uv, ids = 0, [], [], [], []
    for number, (points, faces, coordinates) in enumerate(parts):
        vertices.append(points)
        triangles.append(faces + start)
        uv.append(coordinates)
        ids.append(np.full(len(faces), number))
        start += len(points)
    number = np.concatenate(ids)
    objects, textures = objects or tuple(range(len(parts))), textures or tuple(range(len(parts)))
    return Mesh(np.concatenate(vertices), np.concatenate(triangles), np.concatenate(uv), np.array(objects)[number],
                np.array(textures)[number])


def cube(centre=(0, 0, 0), size: float = 1.0) -> Part:
    """Return a cube of 8 vertices and 12 triangles; each face has a square of its own on the image."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles, uv = [], []
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    for number, quad in enumerate(quads):
        place = (square * 0.9 + 0.05 + [number % 3, number // 3]) / 3
        for pick in ((0, 1, 2), (0, 2, 3)):
            triangles.append([quad[k] for k in pick])
            uv.append(place[list(pick)])
    return corners * size + centre, np.array(triangles), np.array(uv)


def plane(size: float = 1.0, height: float = 0.0, cells: int = 1) -> Part:
    """Return a square that looks upwards and fills the image, divided into cells × cells quads."""
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.stack([(2 * u - 1) * size, (2 * v - 1) * size, np.full_like(u, height)], -1)
    return grid(place, cells, cells)


def sphere(rows: int = 32, columns: int = 64, radius: float = 1.0) -> Part:
    """Return a UV sphere; its triangles at the poles have no area there."""
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle, height = 2 * np.pi * u, np.pi * v
        return radius * np.stack([np.cos(angle) * np.sin(height), np.sin(angle) * np.sin(height), -np.cos(height)], -1)
    return grid(place, columns, rows)


def torus(rows: int = 48, columns: int = 96, large: float = 0.7, small: float = 0.3) -> Part:
    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle, turn = 2 * np.pi * u, 2 * np.pi * v
        ring = large + small * np.cos(turn)
        return np.stack([np.cos(angle) * ring, np.sin(angle) * ring, small * np.sin(turn)], -1)
    return grid(place, columns, rows)


def cup(thickness: float = 0.01, columns: int = 96) -> Part:
    """Return a cup with thin walls, open at the top: outside, rim and inside in one strip of the image."""
    profile = np.array([[0, -1], [0.7, -1], [0.7, 1], [0.7 - thickness, 1], [0.7 - thickness, -1 + thickness],
                        [0, -1 + thickness]])
    along = np.concatenate([np.linspace(a, a + 1, 16, endpoint=False) for a in range(5)] + [[5.0]]) / 5

    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        at = np.round(v * (len(along) - 1)).astype(int)
        step = along[at] * 5
        index = np.minimum(step.astype(int), 4)
        radius, height = (profile[index] + (profile[index + 1] - profile[index]) * (step - index)[..., None]).transpose(
            2, 0, 1)
        angle = 2 * np.pi * u
        return np.stack([np.cos(angle) * radius, np.sin(angle) * radius, height], -1)
    return grid(place, columns, len(along) - 1)


def grid(place, columns: int, rows: int) -> Part:
    """Return the surface `place(u, v)` over the unit square, welded where its points coincide; the UVs are a seam
    there.
    """
    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    vertices = place(u, v).reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(rows + 1, columns + 1)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    uv = np.stack([u, v], -1).reshape(-1, 2)[triangles]
    return vertices, triangles, uv * 0.96 + 0.02


def camera(position, target=(0, 0, 0), size: int = 256, fov: float = 0.6, perspective: bool = True,
           width: float = 2.4) -> View:
    """Return a square camera at `position` that looks at `target`; `width` is what an orthographic one sees."""
    position = np.asarray(position, float)
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1] if abs(forward[2]) < 0.999 else [0, 1, 0])
    right /= np.linalg.norm(right)
    scale = size / (2 * np.tan(fov / 2)) if perspective else size / width
    return View(position, np.stack([right, np.cross(right, forward), forward]), (scale, scale), (size / 2, size / 2),
                size, size, perspective)


def around(size: int = 256, distance: float = 7.0, scale: float = 1.0) -> list[View]:
    """Return eight cameras: six round the object, one above, one below."""
    places = [(np.cos(k * np.pi / 3), np.sin(k * np.pi / 3), 0.35 * (-1) ** k) for k in range(6)]
    places += [(0.01, 0, 1), (0.01, 0, -1)]
    return [camera(np.array(place) / np.linalg.norm(place) * distance * scale, size=size) for place in places]


def known_colour(points: np.ndarray, wavelength: float) -> np.ndarray:
    """Return a smooth colour that is known everywhere in space, N×3 between 0 and 1."""
    k = 2 * np.pi / wavelength
    x, y, z = points.T
    return np.stack([0.5 + 0.25 * np.sin(k * x + 0.3) + 0.25 * np.sin(k * (0.6 * y + 0.8 * z)),
                     0.5 + 0.25 * np.sin(k * y) + 0.25 * np.cos(k * (0.8 * x - 0.6 * z)),
                     0.5 + 0.5 * np.sin(k * z) * np.cos(k * x)], -1)


def picture(surface: Surface, view: View, colour, shift=(0.0, 0.0), gain: float = 1.0) -> np.ndarray:
    """Return what `view` sees, H×W×4 float32, each pixel by the point that its centre hits.

    Args:
        surface: The triangles.
        view: The camera, in the world.
        colour: Called with positions in the unit box (n×3) and triangles (n); returns n×3.
        shift: Pixels by which the picture is displaced.
        gain: A factor of its colours.
    """
    boxed = view.in_box(surface)
    hit = casting.cast(surface, boxed)
    row, column = np.nonzero(hit >= 0)
    triangle = hit[row, column]
    origin, direction = boxed.rays(column + shift[0], row + shift[1])
    normal, anchor = surface.normals[triangle], surface.vertices[surface.triangles[triangle, 0]]
    depth = ((anchor - origin) * normal).sum(1) / (direction * normal).sum(1)
    result = np.zeros((view.height, view.width, 4), np.float32)
    result[row, column, :3] = colour(origin + direction * depth[:, None], triangle) * gain
    result[row, column, 3] = 1
    return result


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of values between 0 and 1."""
    return float(-10 * np.log10(np.mean((np.asarray(one, float) - other) ** 2)))
