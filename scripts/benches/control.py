"""Compare control pictures of a known scene (depth, normals, lines) with the analytic answer, in every Blender.

The scene: a floor seen at a slant, a wall that faces the camera and a sphere before it, through a perspective camera.
"""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = "depth, normals and lines of a known scene against the analytic answer, on every Blender version"
SIZE = (320, 240)
CENTRE, RADIUS, WALL, FLOOR = (0.3, 4.0, 0.2), 1.0, 7.0, -1.2  # the camera stands at the origin and looks along +y


def run(log: Callable[[str], None]) -> dict:
    from . import common

    figures, bars = {}, {}
    for python in (sys.executable, *(str(path) for path in sorted(ROOT.glob(".venv-bpy*/bin/python")))):
        done = subprocess.run([python, __file__], capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{python} failed:\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        version = found.pop("version")
        log(f"Blender {version}: {found}")
        for name, value in found.items():
            figures[f"{name}_{version}"] = value
        bars[f"depth_{version}"] = common.bar(found["depth_error"], "< 0.005")
        bars[f"view_depth_{version}"] = common.bar(found["view_depth_error"], "< 0.005")
        bars[f"normal_{version}"] = common.bar(found["normal_error_deg"], "< 1")
        bars[f"lines_found_{version}"] = common.bar(found["lines_found"], ">= 0.98")
        bars[f"lines_false_{version}"] = common.bar(found["lines_false"], "<= 0.02")
    return {"figures": figures, "bars": bars}


def measure() -> dict:
    """The errors in this Python's Blender. Depth: the largest relative one, 99.9 % of the pixels, from the camera and
    from a 3D View's matrices that show the same; normals: the same in degrees; lines: the share of the analytic
    silhouette that has a line within a pixel, and of lines that are nowhere near."""
    sys.path.insert(0, str(ROOT))
    import bpy
    import numpy as np
    from blender_sd.scene import control, geometry, views

    scene = build(bpy)
    depth, normals, objects = geometry.look(scene, SIZE)
    window = scene.camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=SIZE[0], y=SIZE[1])
    optics = views.optics_of(scene.camera.matrix_world.inverted(), window, SIZE[0] / SIZE[1])
    viewed = geometry.look(
        scene, SIZE, views.View(scene, scene.view_layers[0].name, optics, tuple(scene.objects))
    ).depth
    lines = control.lines_picture(depth, objects, normals)[..., 0] > 0
    true_depth, true_normals, number = analytic(np)
    edge = np.zeros(number.shape, bool)
    edge[:, 1:] |= number[:, 1:] != number[:, :-1]
    edge[1:] |= number[1:] != number[:-1]
    inside = ~_near(np, edge, 1)  # a pixel on an edge may rightly belong to either side
    angle = np.degrees(np.arccos((normals * true_normals).sum(-1).clip(-1, 1)))
    return {
        "version": "{}.{}".format(*bpy.app.version[:2]),
        "depth_error": float(np.quantile((np.abs(depth - true_depth) / true_depth)[inside], 0.999)),
        "view_depth_error": float(np.quantile((np.abs(viewed - true_depth) / true_depth)[inside], 0.999)),
        "normal_error_deg": float(np.quantile(angle[inside], 0.999)),
        "lines_found": float(_near(np, lines, 1)[edge].mean()),
        "lines_false": float((~_near(np, edge, 2))[lines].mean()),
    }


def build(bpy):
    """Build the scene, with a light in view and materials that must not matter."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=200, location=(0, 0, FLOOR))
    bpy.ops.mesh.primitive_plane_add(size=200, location=(0, WALL, 0), rotation=(1.5707963267948966, 0, 0))
    bpy.ops.mesh.primitive_uv_sphere_add(segments=256, ring_count=128, radius=RADIUS, location=CENTRE)
    bpy.ops.object.shade_smooth()
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.rotation_euler = (1.5707963267948966, 0, 0)
    camera.data.lens, camera.data.sensor_width = 36.0, 36.0  # so that the picture is as wide as it is far away
    scene.collection.objects.link(camera)
    scene.camera = camera
    bpy.context.view_layer.update()
    return scene


def analytic(np):
    """Return (depth, normals, number of the surface) by ray and plane, ray and sphere."""
    width, height = SIZE
    x = (np.arange(width) + 0.5 - width / 2) / width
    z = -(np.arange(height) + 0.5 - height / 2)[:, None] / width
    x, z = np.broadcast_arrays(x, z)
    ray = np.stack([x, np.ones_like(x), z], -1)  # y = 1: distances along it are depths
    centre = np.array(CENTRE)
    a, b, c = (ray * ray).sum(-1), ray @ centre, centre @ centre - RADIUS**2
    root = b * b - a * c
    sphere = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    floor = np.where(z < 0, FLOOR / np.minimum(z, -1e-9), np.inf)
    depths = np.stack([sphere, floor, np.full(x.shape, WALL)])
    number = depths.argmin(0)
    depth = depths.min(0)
    ball = (ray * np.where(np.isfinite(sphere), sphere, 0)[..., None] - centre) / RADIUS
    world = np.where((number == 0)[..., None], ball, np.where((number == 1)[..., None], [0.0, 0, 1], [0.0, -1, 0]))
    # x right, y up, z towards the viewer
    return depth, np.stack([world[..., 0], world[..., 2], -world[..., 1]], -1), number


def _near(np, mask, pixels: int):
    """Return where `mask` is within that many pixels."""
    wide = np.pad(mask, pixels)
    height, width = mask.shape
    return np.any(
        [wide[dy : dy + height, dx : dx + width] for dy in range(2 * pixels + 1) for dx in range(2 * pixels + 1)],
        axis=0,
    )


if __name__ == "__main__":
    print(json.dumps(measure()))
