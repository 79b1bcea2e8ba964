"""Measure how long Blender's main thread is kept by a bake: python -m scripts.benches._oracle.stalls CASE.

Suzanne with a subdivision modifier, or a sphere of 205,000 faces of its own, is seen by 8 cameras, whose pictures of
1024² are baked into 2048². Blender's own evaluation of the scene is done before, and its drawing does not happen: what
is left is the add-on's.
"""
from __future__ import annotations

import json
import sys
import time

import numpy as np

from .. import common

VIEWS, VIEW, SIZE = 8, 1024, 2048
NAP, TICK = 0.001, 0.03  # s; as in the bench "stall"


def main(case: str) -> None:
    """Print a line of JSON: milliseconds of the call, of the longest pump while it runs, of the longest wait for Python
    beyond what was asked for, and of the commit.

    Args:
        case: "suzanne" or "sphere".
    """
    import bpy

    with common.addon() as api:
        obj, cameras = _scene(bpy, case)
        pictures = [np.full((VIEW, VIEW, 4), 128, np.uint8) for _ in cameras]
        small = api.bake(pictures[:1], cameras[:1], [obj], size=(64, 64))  # imports, the engine, Blender's own caches
        small.result(300)
        evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        triangles = len(evaluated.loop_triangles)
        begun = time.perf_counter()
        job = api.bake(pictures, cameras, [obj], size=(SIZE, SIZE))
        called = time.perf_counter() - begun
        pumps, waits, ticked = [], [], 0.0
        while not job.done:
            begun = time.perf_counter()
            time.sleep(NAP)  # lets go of the GIL and takes it again
            woke = time.perf_counter()
            waits.append(woke - begun - NAP)
            if woke - ticked >= TICK:
                api.pump()
                ticked = time.perf_counter()
                pumps.append(ticked - woke)
        job.result(1)
        committed = pumps.pop()  # the one that ended it
        print(json.dumps({"triangles": triangles, "call_ms": 1000 * called, "pump_ms": 1000 * max(pumps),
                          "wait_ms": 1000 * max(waits), "commit_ms": 1000 * committed}))


def _scene(bpy, case: str):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if case == "sphere":
        bpy.ops.mesh.primitive_uv_sphere_add(segments=640, ring_count=320)
    else:
        bpy.ops.mesh.primitive_monkey_add()
        bpy.context.object.modifiers.new("subdivision", "SUBSURF").levels = 3
    obj = bpy.context.object
    cameras = []
    for number in range(VIEWS):
        angle = number * 2 * np.pi / VIEWS
        camera = bpy.data.objects.new(f"camera {number}", bpy.data.cameras.new("camera"))
        camera.location = (6 * np.sin(angle), -6 * np.cos(angle), 0)
        camera.rotation_euler = (np.pi / 2, 0, angle)
        bpy.context.collection.objects.link(camera)
        cameras.append(camera)
    bpy.context.view_layer.update()
    return obj, cameras


if __name__ == "__main__":
    main(sys.argv[1])
