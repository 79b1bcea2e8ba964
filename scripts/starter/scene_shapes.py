"""The objects of rendered scenes, as Blender meshes with texture coordinates in metres."""

from __future__ import annotations

import bpy
import numpy as np

_ROUND = ("sphere", "cylinder", "torus")


def add(shape: str, rng: np.random.Generator, size: float, front: np.ndarray) -> bpy.types.Object:
    """Add an object that stands on the plane z = 0, near the origin.

    Args:
        shape: a name of `scenes.SHAPES`.
        rng: draws its proportions and how it is turned.
        size: about half of its extent, metres.
        front: (3,) the direction from which it is seen; seams of round shapes lie at the back.
    """
    turn = rng.uniform(0, 2 * np.pi)
    mesh = _BUILT[shape](rng, size)
    points = _points(mesh)
    local = np.array([front[0] * np.cos(turn) + front[1] * np.sin(turn),
                      front[1] * np.cos(turn) - front[0] * np.sin(turn), front[2]])  # fmt: skip
    if shape in _ROUND:
        _wrap(mesh, points, local, size if shape == "torus" else 0.0)
    else:
        _box_map(mesh, points)
    tilt = np.pi / 2 if shape in ("torus", "cylinder") and rng.random() < 0.4 else 0.0
    thing = bpy.data.objects.new(shape, mesh)
    thing.rotation_euler = (tilt, 0, turn)
    lowest = points @ (np.array([0, np.sin(tilt), np.cos(tilt)]))
    thing.location.z = -float(lowest.min())
    bpy.context.scene.collection.objects.link(thing)
    return thing


def plane(name: str, location: tuple, rotation: tuple, half: float) -> bpy.types.Object:
    """Add a square of half-width ``half`` metres."""
    bpy.ops.mesh.primitive_plane_add(size=2 * half, location=location, rotation=rotation)
    thing = bpy.context.object
    thing.name = name
    _box_map(thing.data, _points(thing.data))
    return thing


def _points(mesh: bpy.types.Mesh) -> np.ndarray:
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def _taken(smooth: bool, *modifiers: tuple[str, dict]) -> bpy.types.Mesh:
    """Return the mesh of the object that was just added, with modifiers applied; the object is removed."""
    thing = bpy.context.object
    for kind, settings in modifiers:
        modifier = thing.modifiers.new(kind, kind)
        for key, value in settings.items():
            setattr(modifier, key, value)
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    mesh = bpy.data.meshes.new_from_object(thing.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    bpy.data.objects.remove(thing)
    mesh.shade_smooth() if smooth else mesh.shade_flat()
    return mesh


def _sphere(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=size, segments=64, ring_count=32)
    return _taken(True)


def _box(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    bpy.ops.mesh.primitive_cube_add(size=2)
    bpy.context.object.scale = rng.uniform(0.55, 1.0, 3) * size
    return _taken(False)


def _bevelled(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    bpy.ops.mesh.primitive_cube_add(size=2)
    bpy.context.object.scale = rng.uniform(0.55, 1.0, 3) * size
    width = float(rng.uniform(0.06, 0.22)) * size
    return _taken(True, ("BEVEL", {"width": width, "segments": 5, "harden_normals": False}))


def _cylinder(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    height = rng.uniform(0.8, 1.9) * size
    bpy.ops.mesh.primitive_cylinder_add(radius=size * rng.uniform(0.5, 0.8), depth=height, vertices=64)
    mesh = _taken(True)
    mesh.set_sharp_from_angle(angle=0.7)
    return mesh


def _torus(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    inner = size * rng.uniform(0.25, 0.38)
    bpy.ops.mesh.primitive_torus_add(major_radius=size - inner / 2, minor_radius=inner, major_segments=64,
                                     minor_segments=24)  # fmt: skip
    return _taken(True)


def _monkey(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    bpy.ops.mesh.primitive_monkey_add(size=1.8 * size)
    return _taken(True, ("SUBSURF", {"levels": 1, "render_levels": 1}))


def _cloth(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    """A cloth that lies over something round and falls to the floor in folds."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=70, y_subdivisions=70, size=3.0 * size)
    mesh = _taken(True)
    points = _points(mesh)
    x, y = points[:, 0] / size, points[:, 1] / size
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    table, folds = rng.uniform(0.4, 0.7), int(rng.integers(5, 10))
    fall = np.clip((radius - table) / 0.7, 0, 1)
    drop = 1.0 - fall**2 * (3 - 2 * fall)
    wave = 0.16 * np.sin(folds * angle + rng.uniform(0, 6)) * np.clip((radius - table) * 1.6, 0, 1)
    ripple = 0.02 * np.sin(x * rng.uniform(3, 6) + 1.0) * np.sin(y * rng.uniform(3, 6))
    points[:, 2] = size * (drop * rng.uniform(0.7, 1.1) + wave * (0.25 + drop) + ripple)
    mesh.vertices.foreach_set("co", points.ravel())
    mesh.update()
    return mesh


def _stairs(rng: np.random.Generator, size: float) -> bpy.types.Mesh:
    steps, width = int(rng.integers(3, 6)), size * rng.uniform(0.6, 1.0)
    run, rise = 2 * size / steps, size * rng.uniform(1.0, 1.5) / steps
    outline = [(0.0, 0.0), (2 * size, 0.0), (2 * size, steps * rise)]
    for step in range(steps, 0, -1):
        outline += [((step - 1) * run, step * rise), ((step - 1) * run, (step - 1) * rise)]
    outline = outline[:-1]
    count = len(outline)
    vertices = [(along - size, side * width, up) for side in (-1, 1) for along, up in outline]
    faces = [tuple(range(count)), tuple(range(2 * count - 1, count - 1, -1))]
    faces += [(i, i + count, (i + 1) % count + count, (i + 1) % count) for i in range(count)]
    mesh = bpy.data.meshes.new("stairs")
    mesh.from_pydata(vertices, [], faces)
    mesh.update()
    return mesh


_BUILT = {"sphere": _sphere, "box": _box, "bevelled box": _bevelled, "cylinder": _cylinder, "torus": _torus,
          "monkey": _monkey, "cloth": _cloth, "stairs": _stairs}  # fmt: skip


def _loops(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each loop's vertex, its polygon, and the polygons' normals (P, 3)."""
    vertices = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", vertices)
    counts, normals = np.empty(len(mesh.polygons), np.int32), np.empty(3 * len(mesh.polygons), np.float32)
    mesh.polygons.foreach_get("loop_total", counts), mesh.polygons.foreach_get("normal", normals)
    return vertices, np.repeat(np.arange(len(counts)), counts), normals.reshape(-1, 3)


def _set(mesh: bpy.types.Mesh, places: np.ndarray) -> None:
    layer = mesh.uv_layers.active or mesh.uv_layers.new()
    layer.uv.foreach_set("vector", np.ascontiguousarray(places, np.float32).ravel())


def _box_map(mesh: bpy.types.Mesh, points: np.ndarray) -> None:
    """Project each face along the axis that it faces most."""
    vertices, polygons, normals = _loops(mesh)
    axis = np.abs(normals).argmax(1)[polygons]
    place = points[vertices]
    u = np.where(axis == 0, place[:, 1], place[:, 0])
    v = np.where(axis == 2, place[:, 1], place[:, 2])
    _set(mesh, np.stack([u, v], -1))


def _wrap(mesh: bpy.types.Mesh, points: np.ndarray, front: np.ndarray, ring: float) -> None:
    """Wrap the texture round the z axis; caps lie flat. ``ring`` is a torus' radius, round which it wraps as well."""
    vertices, polygons, normals = _loops(mesh)
    place = points[vertices]
    middle = np.zeros((len(mesh.polygons), 3), np.float32)
    np.add.at(middle, polygons, place)
    middle = (middle / np.bincount(polygons)[:, None])[polygons]
    facing = np.arctan2(front[1], front[0])
    around = _near(np.arctan2(place[:, 1], place[:, 0]), _near(np.arctan2(middle[:, 1], middle[:, 0]), facing))
    if ring:
        wide = [np.arctan2(p[:, 2], np.hypot(p[:, 0], p[:, 1]) - ring * 0.85) for p in (place, middle)]
        inner = float(np.ptp(points[:, 2])) / 2
        u, v = around * ring, _near(wide[0], wide[1]) * inner
    else:
        radius = float(np.hypot(points[:, 0], points[:, 1]).max())
        height = place[:, 2] / radius
        round_shape = len(np.unique(np.round(points[:, 2], 4))) > 2
        u, v = around * radius, (np.arcsin(np.clip(height, -1, 1)) if round_shape else height) * radius
        flat = np.abs(normals[polygons, 2]) > 0.99
        if not round_shape:
            u, v = np.where(flat, place[:, 0], u), np.where(flat, place[:, 1], v)
    _set(mesh, np.stack([u, v], -1))


def _near(angle: np.ndarray, other: np.ndarray | float) -> np.ndarray:
    """Return an angle less than half a turn from another one."""
    return other + (angle - other + np.pi) % (2 * np.pi) - np.pi
