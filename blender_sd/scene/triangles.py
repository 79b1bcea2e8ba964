"""The triangles of the objects in a picture as arrays: evaluated, with UVs, numbers of objects and textures.

What counts is what is rendered: modifiers, shape keys, armatures and instances are applied. Every texture that is to be
baked belongs to a mesh and one of its material slots; linked duplicates share it.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import bpy
import numpy as np

from ..core.errors import SourceUnusable, TargetUnusable
from ..protocol.surfaces import OCCLUDER, Triangles
from . import compat, shaders, tiles
from .materials import base_color_node, check_editable
from .targets import Identity, identity, lookup

_SHAPES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}


@dataclass(frozen=True)
class Texture:
    """One image that is to be baked.

    Attributes:
        owners: The objects that show it: one, or linked duplicates.
        slot: The number of their material slot.
        material: The material in it; None if the slot, or the object, has none.
        uv_map: The UV map; "" if the mesh has none and needs one first.
        image: The image that the material's base colour shows now; None for none.
        udim: The numbers of its tiles that its faces lie on, (1001, …); () for an ordinary image.
    """

    owners: tuple[Identity, ...]
    slot: int
    material: Identity | None
    uv_map: str
    image: Identity | None
    udim: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Collected:
    """All triangles, and the textures that they name."""

    triangles: Triangles
    textures: tuple[Texture, ...]


@dataclass
class _Shape:
    """One evaluated mesh, in its own space."""

    vertices: np.ndarray
    triangles: np.ndarray
    loops: np.ndarray
    slots: np.ndarray
    uvs: dict[str, np.ndarray]
    render_uv: str

    def uv(self, name: str) -> np.ndarray:
        """Return the T×3×2 corners of a UV map; 0 where there is no such map."""
        places = self.uvs.get(name)
        return np.zeros((len(self.loops), 3, 2), np.float32) if places is None else places[self.loops]


@dataclass
class _Gathered:
    parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    textures: dict[tuple, tuple[int, Texture, np.ndarray]] = field(default_factory=dict)
    used_uvs: dict[int, list[np.ndarray]] = field(default_factory=dict)


def check_objects(objects: Collection[bpy.types.Object]) -> None:
    """Raise TargetUnusable unless pictures can be baked onto every one of `objects`."""
    if not objects:
        raise TargetUnusable("No object is chosen to bake onto.", "Select one or more meshes.")
    for obj in objects:
        if obj.type != "MESH":
            raise TargetUnusable(f"'{obj.name}' is not a mesh, so no image can be baked onto it.",
                                 "Choose a mesh, or convert it (Object ▸ Convert).")
        if obj.mode == "EDIT":
            obj.update_from_editmode()
        if not obj.data.polygons:
            raise TargetUnusable(f"The mesh of '{obj.name}' has no faces to put an image on.",
                                 "Choose an object with faces.")
        check_editable(obj, "object")
        for slot in obj.material_slots:
            check_editable(slot.material, "material")
            if slot.material is not None and not _mapping(slot.material)[1].by_uv:
                raise TargetUnusable(f"The base color of '{slot.material.name}' is not mapped by a UV map.",
                                     "Connect a UV Map node to its image, or remove the image.")


def needs_uv(obj: bpy.types.Object) -> bool:
    """Return whether a mesh has no UV map."""
    return not obj.data.uv_layers


def collect(objects: Collection[bpy.types.Object], graph: bpy.types.Depsgraph,
            shown: Collection[bpy.types.Object] | None = None) -> Collected:
    """Return the triangles of `objects` with their textures, and of all else that is in the way.

    Args:
        objects: Meshes, for which `check_objects` has passed.
        graph: The evaluated scene.
        shown: The objects in the picture; None for all that `graph` has.

    Raises:
        SourceUnusable: None of the objects is in the evaluated scene, or none has a face.
    """
    chosen = set(objects)
    gathered = _Gathered()
    shapes: dict[int, _Shape | None] = {}
    for number, (obj, placed, matrix) in enumerate(_instances(graph, shown)):
        key = placed.data.as_pointer() if placed.type == "MESH" else placed.as_pointer()
        if key not in shapes:
            shapes[key] = _shape(placed)
        shape = shapes[key]
        if shape is not None:
            _add(gathered, shape, obj if obj in chosen else None, matrix, number)
    if not gathered.textures:
        names = ", ".join(sorted(obj.name for obj in chosen))
        raise SourceUnusable(f"Nothing of {names} is rendered.", "Show the objects, and look at their modifiers.")
    textures = _with_tiles(gathered)
    return Collected(_joined(gathered), textures)


# ---- inside --------------------------------------------------------------------------------------------------------


def _instances(graph: bpy.types.Depsgraph, shown: Collection[bpy.types.Object] | None
               ) -> Iterator[tuple[bpy.types.Object, bpy.types.Object, np.ndarray]]:
    """Yield the original object, the evaluated one and the world matrix of everything with surfaces."""
    for instance in graph.object_instances:
        placed = instance.object
        owner = (instance.parent or placed).original
        if placed.type in _SHAPES and instance.show_self and (shown is None or owner in shown):
            yield placed.original, placed, np.array(instance.matrix_world, np.float64)


def _shape(placed: bpy.types.Object) -> _Shape | None:
    """Return the evaluated object's mesh; None if it has no faces."""
    own = placed.type == "MESH"
    mesh = placed.data if own else placed.to_mesh()
    try:
        if mesh is None or not len(mesh.polygons):
            return None
        return _read(mesh)
    finally:
        if not own:
            placed.to_mesh_clear()


def _read(mesh: bpy.types.Mesh) -> _Shape:
    count = len(mesh.loop_triangles) or (mesh.calc_loop_triangles() or len(mesh.loop_triangles))
    loops, polygons = np.empty(count * 3, np.int32), np.empty(count, np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("polygon_index", polygons)
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    corner = np.empty(len(mesh.loops), np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corner)  # 200 times as fast as asking the loops
    slots = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", slots)
    uvs = {}
    for layer in mesh.uv_layers:
        places = np.empty(len(mesh.loops) * 2, np.float32)
        layer.uv.foreach_get("vector", places)
        uvs[layer.name] = places.reshape(-1, 2)
    render = next((layer.name for layer in mesh.uv_layers if layer.active_render), next(iter(uvs), ""))
    return _Shape(vertices.reshape(-1, 3), corner[loops].reshape(-1, 3), loops.reshape(-1, 3), slots[polygons], uvs,
                  render)


def _add(gathered: _Gathered, shape: _Shape, target: bpy.types.Object | None, matrix: np.ndarray, number: int) -> None:
    """Add a mesh at its place in the world. `target`: the object whose textures are baked; None if in the way only."""
    vertices = (shape.vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    triangles = shape.triangles
    uv = np.zeros((len(triangles), 3, 2), np.float32)
    textures = np.full(len(triangles), OCCLUDER, np.int32)
    if target is not None:
        last = max(0, len(target.material_slots) - 1)
        slots = np.clip(shape.slots, 0, last)  # as Blender draws faces whose slot is gone
        for slot in np.unique(slots):
            mine = slots == slot
            index, texture, matrix_uv = _texture(gathered, target, int(slot), shape)
            placed = shape.uv(texture.uv_map)[mine]
            textures[mine], uv[mine] = index, placed @ matrix_uv[:2, :2].T + matrix_uv[:2, 3]
            gathered.used_uvs.setdefault(index, []).append(uv[mine])
    if np.linalg.det(matrix[:3, :3]) < 0:  # mirrored: what was anticlockwise is not
        triangles, uv = triangles[:, ::-1], uv[:, ::-1]
    gathered.parts.append((vertices, triangles, uv, np.full(len(triangles), number, np.int32), textures))


def _texture(gathered: _Gathered, obj: bpy.types.Object, slot: int, shape: _Shape) -> tuple[int, Texture]:
    """Return the number and description of the texture of a material slot; linked duplicates share one."""
    material = obj.material_slots[slot].material if obj.material_slots else None
    key = (obj.data.session_uid, slot, material.session_uid if material is not None else 0)
    known = gathered.textures.get(key)
    owner = identity(obj)
    if known is None:
        node, mapping = _mapping(material) if material is not None else (None, shaders.Mapping())
        image = node.image if node is not None else None
        texture = Texture((owner,), slot, identity(material) if material is not None else None,
                          mapping.uv_map if mapping.uv_map in shape.uvs else shape.render_uv,
                          identity(image) if image is not None else None)
        known = len(gathered.textures), texture, np.array(mapping.matrix, np.float32)
    elif owner not in known[1].owners:
        known = known[0], replace(known[1], owners=(*known[1].owners, owner)), known[2]
    gathered.textures[key] = known
    return known


def _mapping(material: bpy.types.Material) -> tuple[bpy.types.ShaderNodeTexImage | None, shaders.Mapping]:
    """Return the image node of the base colour, None for none, and how it lies on faces."""
    node = base_color_node(material) if compat.uses_nodes(material) else None
    if node is None:
        return None, shaders.Mapping()
    return node, shaders.mapping_of(node, shaders.groups_of(material, node))


def _with_tiles(gathered: _Gathered) -> tuple[Texture, ...]:
    """Return the textures in the order of their numbers, with the UDIM tiles that their faces lie on."""
    result = []
    for number, texture, _ in sorted(gathered.textures.values(), key=lambda known: known[0]):
        image = lookup(texture.image) if texture.image is not None else None
        if image is not None and image.source == "TILED":
            uv = np.concatenate(gathered.used_uvs[number])
            low, high = uv.min(1), uv.max(1)
            used = tuple(tile.number for tile in image.tiles
                         if ((high > tiles.corner_of(tile.number)) & (low < np.add(tiles.corner_of(tile.number), 1))
                             ).all(1).any())
            texture = replace(texture, udim=used)
        result.append(texture)
    return tuple(result)


def _joined(gathered: _Gathered) -> Triangles:
    vertices, triangles, uv, objects, textures = zip(*gathered.parts)
    starts = np.cumsum([0, *(len(part) for part in vertices[:-1])])
    return Triangles(np.concatenate(vertices),
                     np.concatenate([part + start for part, start in zip(triangles, starts)]).astype(np.int32),
                     np.concatenate(uv), np.concatenate(objects), np.concatenate(textures))
