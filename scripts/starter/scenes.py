"""Small rendered scenes: spheres, boxes and floors, plain or covered with the materials.

They teach the model what a camera render looks like, so that restyling one (image-to-image at half strength) keeps its
light and shapes. Not periodic. A handful of analytic ray intersections in numpy is all it takes.
"""

from __future__ import annotations

import numpy as np

from . import palette


def _sample(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear look-up in a wrapping (S, S, 3) picture, u and v in pixels."""
    size = tile.shape[0]
    u0, v0 = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    fu, fv = (u - u0)[..., None], (v - v0)[..., None]
    u0, v0, u1, v1 = u0 % size, v0 % size, (u0 + 1) % size, (v0 + 1) % size
    top = tile[v0, u0] * (1 - fu) + tile[v0, u1] * fu
    return top * (1 - fv) + (tile[v1, u0] * (1 - fu) + tile[v1, u1] * fu) * fv


def _sphere(origin, rays, centre, radius):
    """First hit of rays from ``origin`` with a sphere: distance (inf where missed) and unit normals."""
    to = origin - centre
    b = rays @ to
    root = b * b - (to @ to - radius * radius)
    hit = root > 0
    t = np.where(hit, -b - np.sqrt(np.where(hit, root, 0.0)), np.inf)
    t = np.where(t > 0, t, np.inf)
    point = to + rays * np.where(np.isfinite(t), t, 0.0)[..., None]
    return t, point / radius


def _box(origin, rays, centre, half, yaw):
    """First hit with a box turned by ``yaw`` about the vertical axis: distance, world normal, (u, v) on the face."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    o, d = turn @ (origin - centre), rays @ turn.T
    d = np.where(np.abs(d) < 1e-6, 1e-6, d)
    near, far = (-np.sign(d) * half - o) / d, (np.sign(d) * half - o) / d
    axis = near.argmax(-1)
    t = near.max(-1)
    t = np.where((t < far.min(-1)) & (t > 0), t, np.inf)
    point = o + d * np.where(np.isfinite(t), t, 0.0)[..., None]
    normal = -np.sign(np.take_along_axis(d, axis[..., None], -1)) * np.eye(3)[axis]
    u = np.where(axis == 0, point[..., 2], point[..., 0])
    v = np.where(axis == 1, point[..., 2], -point[..., 1])
    return t, normal @ turn, u, v


def render(rng: np.random.Generator, size: int, kind: str, tile: np.ndarray | None, colour: str) -> np.ndarray:
    """Draw a scene of one object (``kind`` "sphere", "box") or only a floor ("plane"); (size, size, 3) sRGB 0…1.

    ``tile`` (S, S, 3) covers the object; None paints it in the plain ``colour``. The floor and the sky are plain.
    """
    large = 2 * size
    y, x = np.mgrid[0:large, 0:large]
    aim = np.array([rng.uniform(-0.35, 0.35), rng.uniform(0.45, 1.0), 0.0])
    origin = np.array([0.0, rng.uniform(1.0, 3.2), -rng.uniform(4.2, 6.0)])
    forward = (aim - origin) / np.linalg.norm(aim - origin)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    fx, fy = ((x + 0.5) / large - 0.5) * 0.75, (0.5 - (y + 0.5) / large) * 0.75
    rays = forward + fx[..., None] * right + fy[..., None] * up
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    light = np.array([rng.uniform(-0.8, 0.8), 1.0, rng.uniform(-0.9, -0.2)])
    light /= np.linalg.norm(light)

    names = palette.NAMES[:-2]
    floor = np.array(palette.COLOURS[names[rng.integers(len(names))]]) * 0.5 + 0.25
    sky = np.array(palette.COLOURS[names[rng.integers(len(names))]]) * 0.4 + 0.35
    picture = sky * (0.8 + 0.5 * (fy[..., None] + 0.4))
    pixels = rng.uniform(45.0, 80.0)

    ground = np.where(rays[..., 1] < -1e-3, -origin[1] / np.minimum(rays[..., 1], -1e-3), np.inf)
    point = origin + rays * np.where(np.isfinite(ground), ground, 0.0)[..., None]
    shade = 0.5 + 0.5 * light[1]
    if kind == "plane" and tile is not None:
        detail = np.clip(1.6 - ground / 9.0, 0.0, 1.0)[..., None]
        cover = _sample(tile, point[..., 0] * pixels, -point[..., 2] * pixels)
        colours = cover * detail + tile.mean((0, 1)) * (1 - detail)
    else:
        colours = np.broadcast_to(np.array(palette.COLOURS[colour]) if kind == "plane" else floor, picture.shape)
    far = np.clip(ground / 25.0, 0.0, 1.0)[..., None]
    if kind != "plane":
        spread = np.hypot(point[..., 0] + 0.5 * light[0], point[..., 2] + 0.5 * light[2])
        shade = shade * (1.0 - 0.55 * np.exp(-((spread / rng.uniform(0.9, 1.2)) ** 4)))[..., None]
    picture = np.where(np.isfinite(ground)[..., None], colours * shade * (1 - far) + picture * far, picture)
    if kind != "plane":
        picture = _object(rng, picture, ground, origin, rays, kind, tile, colour, light, pixels)
    return np.clip(picture, 0, 1).reshape(size, 2, size, 2, 3).mean((1, 3)).astype(np.float32)


def _object(rng, picture, ground, origin, rays, kind, tile, colour, light, pixels):
    """Paint the scene's object over the floor and sky."""
    if kind == "sphere":
        radius = rng.uniform(0.75, 1.15)
        t, normal = _sphere(origin, rays, np.array([0.0, radius, 0.0]), radius)
        u = np.arctan2(normal[..., 0], -normal[..., 2]) * radius
        v = -np.arcsin(np.clip(normal[..., 1], -1, 1)) * radius
    else:
        half = rng.uniform(0.55, 0.95, 3)
        t, normal, u, v = _box(origin, rays, np.array([0.0, half[1], 0.0]), half, rng.uniform(0.15, 1.4))
    cover = np.array(palette.COLOURS[colour]) if tile is None else _sample(tile, u * pixels, v * pixels)
    lit = 0.40 + 0.75 * np.clip(normal @ light, 0, 1)
    gloss = 0.25 * np.clip(normal @ light, 0, 1) ** 24 if tile is None else 0.0
    shaded = cover * lit[..., None] + np.asarray(gloss)[..., None]
    return np.where((t < ground)[..., None], shaded, picture)
