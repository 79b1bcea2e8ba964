"""The faces on which a texture lies, as triangles to draw: those of an object, or of all objects with a material."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from . import compat, marks, materials, shaders, uv
from .targets import Identity, Target, find, identity, lookup

_MOST_TRIANGLES = 100_000  # in all, which cost the main thread 30 ms once; a preview is worth no more
_MOST_OBJECTS = 32


@dataclass(frozen=True, eq=False)
class Surface:
    """Some of an object's faces as triangles, in its own space.

    Attributes:
        corners: 3N×3, float32.
        normals: 3N×3, float32.
        uvs: 3N×2, float32.
    """

    owner: Identity
    corners: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray

    def find(self) -> bpy.types.Object | None:
        """Return the object, if it still exists."""
        return lookup(self.owner)


def surfaces_of(target: Target, context: bpy.types.Context) -> list[Surface]:
    """Return the faces in `context`'s view layer on which a picture in `target` is seen as colour.

    The list is empty if that is unknown: the slot holds no colour, it is not mapped by a UV map alone, or the objects
    are being edited or have too many faces.
    """
    surfaces: list[Surface] = []
    left = _MOST_TRIANGLES
    graph = context.evaluated_depsgraph_get()
    for obj, material in _wearers(target, context):
        if obj.type != "MESH" or obj.mode == "EDIT" or len(surfaces) == _MOST_OBJECTS:
            continue
        surface = _surface(obj, obj.evaluated_get(graph), material)
        if surface is not None:
            left -= len(surface.corners) // 3
            if left < 0:
                return []
            surfaces.append(surface)
    return surfaces


def painted_surface(obj: bpy.types.Object, context: bpy.types.Context) -> Surface | None:
    """Return all faces of `obj` as Texture Paint paints on them, by the active UV map, in the shape that is shown; or
    None.
    """
    return _surface(obj, obj.evaluated_get(context.evaluated_depsgraph_get()), None, obj.data.uv_layers.active.name,
                    most=0)


def textured_surface(obj: bpy.types.Object, material: bpy.types.Material | None, uv_map: str,
                     context: bpy.types.Context) -> Surface | None:
    """Return the faces of `obj` with `material` (None: all) by a UV map, in the shape that is shown.

    None if there are none or too many, if the object is being edited, or if the map is "".
    """
    if obj.mode == "EDIT" or not uv_map:
        return None
    return _surface(obj, obj.evaluated_get(context.evaluated_depsgraph_get()), material, uv_map)


def whole_surface(obj: bpy.types.Object, context: bpy.types.Context, most: int) -> Surface | None:
    """Return all faces of `obj` in the shape that is shown; None if there are none or more than `most` triangles."""
    return _surface(obj, obj.evaluated_get(context.evaluated_depsgraph_get()), None, most=most)


def wears(obj: bpy.types.Object, image: bpy.types.Image) -> bool:
    """Return whether a material of `obj` uses `image`, also through groups."""
    return any(slot.material is not None and image in marks.images_in(slot.material) for slot in obj.material_slots)


def uv_map_of(obj: bpy.types.Object, image: bpy.types.Image) -> str:
    """Return the name of the UV map by which `obj` shows `image`. The mesh must have UV maps.

    That is its UV Map node's, otherwise the one for rendering; the active one if no material of `obj` uses the image.
    """
    layers = obj.data.uv_layers
    if not wears(obj, image):
        return layers.active.name
    return mapping_on(obj, image).uv_map


def mapping_on(obj: bpy.types.Object, image: bpy.types.Image | None) -> shaders.Mapping:
    """Return how `image` lies on the faces of `obj`. The mesh must have UV maps.

    If `image` is None or not used, the active material's base color counts. The UV map for rendering is used if no node
    names another.
    """
    nodes = _nodes(obj, image)
    mapping = next((shaders.mapping_of(node, shaders.groups_of(material, node)) for material, node in nodes),
                   shaders.Mapping())
    if mapping.uv_map in obj.data.uv_layers or not mapping.by_uv:
        return mapping
    return mapping._replace(uv_map=uv.rendered(obj.data).name)


# ---- inside --------------------------------------------------------------------------------------------------------


def _wearers(target: Target,
             context: bpy.types.Context) -> Iterator[tuple[bpy.types.Object, bpy.types.Material | None]]:
    """Yield the objects and, with each, the material that their faces must have (None: any)."""
    if target.kind == "canvas":
        if context.view_layer.objects.active is not None:
            yield context.view_layer.objects.active, None
    elif target.kind == "material" and target.slot.lower() == materials.BASE_COLOR.lower():
        obj, material = find(target.obj), find(target.material) if target.material else None
        if material is None or _mapped(materials.base_color_node(material) if compat.uses_nodes(material) else None):
            yield obj, material
    elif target.kind == "slot" and target.owner.collection == "materials":
        yield from _wearing(find(target.owner), context, lambda node: node.name == target.node)
    elif target.kind == "editor" and (image := lookup(target.image)) is not None:
        for material in bpy.data.user_map(subset={image}, value_types={"MATERIAL"})[image]:
            yield from _wearing(material, context, lambda node: node.image == image)


def _wearing(material: bpy.types.Material, context: bpy.types.Context,
             is_painted: Callable[[bpy.types.ShaderNodeTexImage], bool],
             ) -> Iterator[tuple[bpy.types.Object, bpy.types.Material]]:
    """Yield the objects that have `material`, if the image node of its base color is the one that is painted."""
    node = materials.base_color_node(material) if compat.uses_nodes(material) else None
    if node is not None and is_painted(node) and _mapped(node):
        for obj in context.view_layer.objects:
            if any(slot.material == material for slot in obj.material_slots):
                yield obj, material


def _nodes(obj: bpy.types.Object,
           image: bpy.types.Image | None) -> Iterator[tuple[bpy.types.Material, bpy.types.ShaderNode]]:
    """Yield the image nodes of `obj`'s materials that hold `image`, visible ones first; at last the base color's."""
    worn = [slot.material for slot in obj.material_slots if slot.material is not None
            and compat.uses_nodes(slot.material)]
    for material in worn if image is not None else ():
        yield from ((material, node) for node in shaders.shown_images(material) if node.image == image)
        yield from ((material, node) for node in material.node_tree.nodes if node.type == "TEX_IMAGE"
                    and node.image == image)
    active = obj.active_material
    if active in worn and (node := materials.base_color_node(active)) is not None:
        yield active, node


def _mapped(node: bpy.types.ShaderNodeTexImage | None) -> bool:
    """Return whether the image is mapped by the UV map for rendering and no other."""
    if node is None:
        return True
    mapping = shaders.mapping_of(node)
    return mapping.by_uv and not mapping.uv_map and mapping.matrix == shaders.Mapping().matrix


def _surface(obj: bpy.types.Object, shown: bpy.types.Object, material: bpy.types.Material | None, uv_map: str = "",
             most: int = _MOST_TRIANGLES) -> Surface | None:
    """Return the faces of `shown`, the evaluated `obj`; None if there are more than `most` triangles (0: any number).

    `uv_map` is the UV map's name, "" for the one for rendering.
    """
    mesh = shown.data
    count = len(mesh.loop_triangles) or (mesh.calc_loop_triangles() or len(mesh.loop_triangles))
    if not count or 0 < most < count:
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
    layer = mesh.uv_layers.get(uv_map) or uv.rendered(mesh)
    if layer is None:
        scale = np.abs(np.array(obj.matrix_world.to_scale(), np.float32))
        return Surface(identity(obj), corners, uv.box_projection(corners * scale, facing), facing)
    places = np.empty((len(mesh.loops), 2), np.float32)
    layer.uv.foreach_get("vector", places.ravel())
    return Surface(identity(obj), corners, places[loops], facing)
