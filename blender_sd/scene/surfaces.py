"""The faces on which a texture lies, as triangles to be drawn: those of an object, or of all that wear a material."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from . import compat, materials, uv
from .targets import Identity, Target, find, identity, lookup

_MOST_TRIANGLES = 100_000  # in all, which cost the main thread 30 ms once; a preview is worth no more
_MOST_OBJECTS = 32


@dataclass(frozen=True, eq=False)
class Surface:
    """Some of an object's faces as triangles, in its own space: `corners` and `normals` 3N×3, `uvs` 3N×2, float32."""

    owner: Identity
    corners: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray

    def find(self) -> bpy.types.Object | None:
        """The object, if it is still there."""
        return lookup(self.owner)


def surfaces_of(target: Target, context: bpy.types.Context) -> list[Surface]:
    """The faces in `context`'s view layer on which a picture in `target` is seen as colour; none where that cannot be said: the
    slot holds no colour, it is not mapped by a UV map alone, the objects are being edited or have too many faces."""
    found: list[Surface] = []
    left = _MOST_TRIANGLES
    graph = context.evaluated_depsgraph_get()
    for obj, material in _wearers(target, context):
        if obj.type != "MESH" or obj.mode == "EDIT" or len(found) == _MOST_OBJECTS:
            continue
        surface = _surface(obj, obj.evaluated_get(graph), material)
        if surface is not None:
            left -= len(surface.corners) // 3
            if left < 0:
                return []
            found.append(surface)
    return found


# ---- inside --------------------------------------------------------------------------------------------------------


def _wearers(target: Target, context: bpy.types.Context) -> Iterator[tuple[bpy.types.Object, bpy.types.Material | None]]:
    """The objects, and of which material their faces have to be (None: of any)."""
    if target.kind == "canvas":
        if context.view_layer.objects.active is not None:
            yield context.view_layer.objects.active, None
    elif target.kind == "material" and target.slot.lower() == materials.BASE_COLOR.lower():
        obj, material = find(target.obj), find(target.material) if target.material else None
        if material is None or _mapped(materials.base_color_node(material) if compat.uses_nodes(material) else None):
            yield obj, material
    elif target.kind == "slot" and target.owner.collection == "materials":
        material = find(target.owner)
        node = materials.base_color_node(material) if compat.uses_nodes(material) else None
        if node is not None and node.name == target.node and _mapped(node):
            for obj in context.view_layer.objects:
                if any(slot.material == material for slot in obj.material_slots):
                    yield obj, material


def _mapped(node: bpy.types.ShaderNodeTexImage | None) -> bool:
    """Whether the image lies on the faces as the UV map says."""
    if node is None or not node.inputs["Vector"].is_linked:
        return node is None or node.projection == "FLAT"
    link = node.inputs["Vector"].links[0]
    giver = link.from_node
    by_uv = (giver.type == "TEX_COORD" and link.from_socket.name == "UV") or (giver.type == "UVMAP" and not giver.uv_map)
    return node.projection == "FLAT" and by_uv


def _surface(obj: bpy.types.Object, shown: bpy.types.Object, material: bpy.types.Material | None) -> Surface | None:
    """The faces of `shown`, the evaluated `obj`."""
    mesh = shown.data
    count = len(mesh.loop_triangles) or (mesh.calc_loop_triangles() or len(mesh.loop_triangles))
    if not 0 < count <= _MOST_TRIANGLES:
        return None
    loops, polygons = np.empty(count * 3, np.int32), np.empty(count, np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("polygon_index", polygons)
    if material is not None:
        wanted = [number for number, slot in enumerate(obj.material_slots) if slot.material == material]
        of = np.empty(len(mesh.polygons), np.int32)
        mesh.polygons.foreach_get("material_index", of)
        chosen = np.isin(np.clip(of, 0, max(0, len(obj.material_slots) - 1)), wanted)[polygons]
        loops, polygons = loops.reshape(-1, 3)[chosen].ravel(), polygons[chosen]
    if not len(loops):
        return None
    positions = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", positions.ravel())
    vertex = np.empty(len(mesh.loops), np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", vertex)  # 200 times as fast as asking the loops
    normals = np.empty((len(mesh.polygons), 3), np.float32)
    mesh.polygon_normals.foreach_get("vector", normals.ravel())
    corners, facing = positions[vertex[loops]], np.repeat(normals[polygons], 3, axis=0)
    layer = next((one for one in mesh.uv_layers if one.active_render), None)
    if layer is None:
        scale = np.abs(np.array(obj.matrix_world.to_scale(), np.float32))
        return Surface(identity(obj), corners, uv.box_projection(corners * scale, facing), facing)
    places = np.empty((len(mesh.loops), 2), np.float32)
    layer.uv.foreach_get("vector", places.ravel())
    return Surface(identity(obj), corners, places[loops], facing)
