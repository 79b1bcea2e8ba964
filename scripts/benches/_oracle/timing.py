"""Time one bake in a process of its own: python -m scripts.benches._oracle.timing CASE FILE; see `main`.

The reference is a plain one: numpy on one core, every texel in every view, one array after the other.
"""
from __future__ import annotations

import json
import os
import resource
import sys
import time

import numpy as np

CORES = {"reference": 1, "ours": 2}


def main(case: str, path: str, size: str, views: str) -> None:
    """Print a line of JSON with the seconds.

    Args:
        case: "reference" or "ours".
        path: A mesh, as `export` writes it.
        size: The texture's side in texels.
        views: The number of views.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: CORES[case]])
    from blender_sd.geometry.surface import Mesh, Surface
    from tests.support.meshes import around, known_colour, picture

    data = np.load(path)
    vertices = data["vertices"].astype(np.float64)
    number = np.zeros(len(data["triangles"]), int)
    mesh = Mesh(vertices, data["triangles"], data["uv"], number, number)
    surface = Surface(mesh)
    boxed = (around(1024) * 4)[: int(views)]
    pictures = [picture(surface, view, lambda points, _: known_colour(points, 0.12)) for view in boxed]
    figures = reference(surface.vertices[surface.triangles], surface.uv, boxed, pictures, int(size)
                        ) if case == "reference" else ours(mesh, boxed, pictures, int(size))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({**figures, "peak": peak}))


def ours(mesh, views, pictures, size: int) -> dict[str, float]:
    from blender_sd.geometry.bake import Baker, Settings
    from blender_sd.geometry.sheets import Sheet
    from blender_sd.geometry.surface import Surface

    started, worked = time.perf_counter(), time.process_time()
    baker = Baker(Surface(mesh), [Sheet(0, size, size)], Settings(soft=0))
    baker.measure()
    measured = time.perf_counter()
    blend, _ = baker.gather(views, pictures)
    gathered, half = time.perf_counter(), time.process_time()
    baker.finish(blend)
    ended = time.perf_counter()
    return {"table": measured - started, "core": gathered - started, "all": ended - started,
            "cpu_core": half - worked, "cpu_all": time.process_time() - worked}


def reference(corners: np.ndarray, uv: np.ndarray, views, pictures, size: int) -> dict[str, float]:
    """Texel table, casting, visibility by depth, and gathering with weights: what the issue's lab script does."""
    from .limit import scene_of

    started, worked = time.perf_counter(), time.process_time()
    scene = scene_of(corners)
    flat = scene_of(np.concatenate([uv, np.zeros((*uv.shape[:2], 1))], -1))
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(place, place)
    origins = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    downwards = np.zeros_like(origins)
    downwards[:, 2] = -1
    hit = flat.run(origins.astype(np.float32), downwards.astype(np.float32), query="INTERSECT", output=True)
    covered = hit["primID"] >= 0
    triangle = hit["primID"][covered]
    a, b, c = (uv[triangle, k] for k in range(3))
    one, two, rest = b - a, c - a, origins[covered][:, :2] - a
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    second = ((rest[:, 0] * two[:, 1] - rest[:, 1] * two[:, 0]) / area)[:, None]
    third = ((one[:, 0] * rest[:, 1] - one[:, 1] * rest[:, 0]) / area)[:, None]
    points = (1 - second - third) * corners[triangle, 0] + second * corners[triangle, 1] + third * corners[triangle, 2]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1)[:, None] + 1e-12
    sums = np.zeros((len(points), 4))
    for view, image in zip(views, pictures):
        _add(sums, points, normals, triangle, scene, corners, view, image)
    colours = np.zeros((size * size, 3))
    colours[np.flatnonzero(covered)] = sums[:, :3] / np.maximum(sums[:, 3:], 1e-9)
    return {"core": time.perf_counter() - started, "cpu_core": time.process_time() - worked}


def _add(sums, points, normals, triangle, scene, corners, view, image) -> None:
    row, column = np.mgrid[: view.height, : view.width]
    right, up = (column + 0.5 - view.centre[0]) / view.scale[0], (view.centre[1] - row - 0.5) / view.scale[1]
    directions = (right[..., None] * view.axes[0] + up[..., None] * view.axes[1] + view.axes[2]).reshape(-1, 3)
    origins = np.broadcast_to(view.origin, directions.shape)
    hit = scene.run(np.ascontiguousarray(origins, np.float32), directions.astype(np.float32), query="INTERSECT",
                    output=True)["primID"]
    seen = hit >= 0
    depth = np.full(len(hit), np.inf)
    normal = normals[hit[seen]]
    depth[seen] = ((corners[hit[seen], 0] - view.origin) * normal).sum(1) / (directions[seen] * normal).sum(1)
    away = points - view.origin
    z = away @ view.axes[2]
    x = (away @ view.axes[0]) / z * view.scale[0] + view.centre[0] - 0.5
    y = view.centre[1] - (away @ view.axes[1]) / z * view.scale[1] - 0.5
    left = np.clip(np.floor(x).astype(int), 0, view.width - 2)
    top = np.clip(np.floor(y).astype(int), 0, view.height - 2)
    across, down = x - left, y - top
    cos = -(normals[triangle] * away).sum(1) / np.linalg.norm(away, axis=1)
    visible = (cos > 0.25) & (x >= 0) & (y >= 0) & (x <= view.width - 1) & (y <= view.height - 1)
    colour = np.zeros((len(points), 3))
    bias = z / view.scale[0] / np.maximum(cos, 0.05) * 1.5
    pixels = image.reshape(-1, 4)
    for right_, below, weight in ((0, 0, (1 - across) * (1 - down)), (1, 0, across * (1 - down)),
                                  (0, 1, (1 - across) * down), (1, 1, across * down)):
        index = (top + below) * view.width + left + right_
        visible &= np.abs(depth[index] - z) < bias
        colour += weight[:, None] * pixels[index, :3]
    weight = np.where(visible, np.maximum(cos, 0) ** 4, 0)
    sums[:, :3] += weight[:, None] * colour
    sums[:, 3] += weight


if __name__ == "__main__":
    main(*sys.argv[1:])
