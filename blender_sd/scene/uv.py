"""Make a UV map for a mesh without one: box projection, in plain numpy, without operators or changing the mode.

Each face is projected along the axis that it faces most. One texture repeat spans the mesh's largest side (object scale
included), so that textures keep their proportions. Faces overlap in UV space, which suits textures that repeat.
"""
from __future__ import annotations

import bmesh
import bpy
import numpy as np

# For a face along ±axis: the two axes that become u and v, and the sign of u, so that nothing is seen mirrored from
# outside.
_PLANES = ((1, 2), (0, 2), (0, 1))
_U_SIGN = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]], np.float32)  # [axis][0: facing +, 1: facing -]
NAME = "UVMap"


def ensure_uv(obj: bpy.types.Object) -> None:
    """Give `obj`'s mesh a UV map if it has none. Works in every mode and keeps mode and selection.

    The mesh must be editable and have faces.
    """
    mesh = obj.data
    if mesh.uv_layers:
        return
    scale = np.abs(np.array(obj.matrix_world.to_scale(), np.float32))
    if mesh.is_editmode:
        _fill_edit_mesh(mesh, scale)
    else:
        corners, normals = _corners(mesh)
        layer = mesh.uv_layers.new(name=NAME, do_init=False)
        layer.uv.foreach_set("vector", box_projection(corners * scale, normals).ravel())
    mesh.update()


def rendered(mesh: bpy.types.Mesh) -> bpy.types.MeshUVLoopLayer | None:
    """Return the mesh's UV map for rendering, which nodes read that name none."""
    return next((layer for layer in mesh.uv_layers if layer.active_render), mesh.uv_layers.active)


def write_map(mesh: bpy.types.Mesh, places: np.ndarray) -> None:
    """Give a mesh without UV maps, which is not in Edit Mode, one with these UVs: L×2, one for each corner."""
    layer = mesh.uv_layers.new(name=NAME, do_init=False)
    layer.uv.foreach_set("vector", np.ascontiguousarray(places, np.float32).ravel())
    mesh.update()


def remove_maps(mesh: bpy.types.Mesh) -> None:
    """Remove all UV maps of a mesh."""
    while mesh.uv_layers:
        mesh.uv_layers.remove(mesh.uv_layers[0])
    mesh.update()


def box_projection(corners: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return N×2 UVs, 0 to 1 across the largest side, for N×3 corner positions with the N×3 normals of their faces."""
    low = corners.min(axis=0)
    size = float((corners.max(axis=0) - low).max()) or 1.0
    placed = (corners - low) / size
    axis = np.abs(normals).argmax(axis=1)
    each = np.arange(len(corners))
    planes = np.array(_PLANES)[axis]
    sign = _U_SIGN[axis, (normals[each, axis] < 0).astype(int)]
    return np.stack([placed[each, planes[:, 0]] * sign, placed[each, planes[:, 1]]], axis=1).astype(np.float32)


def _corners(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray]:
    positions = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", positions.ravel())
    vertex = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", vertex)
    counts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_total", counts)
    normals = np.empty((len(mesh.polygons), 3), np.float32)
    mesh.polygons.foreach_get("normal", normals.ravel())
    return positions[vertex], np.repeat(normals, counts, axis=0)


def _fill_edit_mesh(mesh: bpy.types.Mesh, scale: np.ndarray) -> None:
    edit = bmesh.from_edit_mesh(mesh)
    layer = edit.loops.layers.uv.new(NAME)
    loops = [(loop, face.normal) for face in edit.faces for loop in face.loops]
    corners = np.array([loop.vert.co for loop, _ in loops], np.float32) * scale
    values = box_projection(corners, np.array([normal for _, normal in loops], np.float32))
    for (loop, _), value in zip(loops, values):
        loop[layer].uv = value
    bmesh.update_edit_mesh(mesh, loop_triangles=False, destructive=False)
