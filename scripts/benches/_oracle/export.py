"""Write Suzanne and the 8-vertex cube with UVs to FOLDER: python -m scripts.benches._oracle.export FOLDER."""
from __future__ import annotations

import sys
from pathlib import Path


def write(folder: Path) -> None:
    """Write suzanne.npz (32,000 vertices) and cube.npz: vertices, triangles and UVs per corner."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_monkey_add()
    _unwrap(bpy)
    bpy.context.object.modifiers.new("subdivision", "SUBSURF").levels = 3
    _write(bpy, folder / "suzanne.npz")
    bpy.ops.mesh.primitive_cube_add()
    _unwrap(bpy)
    _write(bpy, folder / "cube.npz")


def _unwrap(bpy) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.uv.smart_project(angle_limit=1.15, island_margin=0.01)
    bpy.ops.object.mode_set(mode="OBJECT")


def _write(bpy, path: Path) -> None:
    import numpy as np

    mesh = bpy.context.object.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    mesh.calc_loop_triangles()
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    triangles, loops = (np.empty(len(mesh.loop_triangles) * 3, np.int32) for _ in range(2))
    mesh.loop_triangles.foreach_get("vertices", triangles)
    mesh.loop_triangles.foreach_get("loops", loops)
    uv = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", uv)
    np.savez(path, vertices=vertices.reshape(-1, 3), triangles=triangles.reshape(-1, 3),
             uv=uv.reshape(-1, 2)[loops].reshape(-1, 3, 2))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
