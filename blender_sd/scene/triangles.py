"""The triangles of the objects in a picture as arrays: evaluated, with UVs, numbers of objects and textures.

What counts is what is rendered: modifiers, shape keys, armatures and instances are applied. Every texture that is to be
baked belongs to a mesh and one of its material slots; linked duplicates share it.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import bpy
import numpy as np

from ..core.errors import SourceUnusable, TargetUnusable
from ..protocol.surfaces import OCCLUDER, Triangles
from . import compat, shaders, tiles
from .materials import base_color_node, check_editable
from .shapes import Shape, read_mesh
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
    """What was read of the scene: meshes where they stand, and the textures that they show.

    Only what needs Blender was done; `triangles` is worked out when it is first asked for, on any thread.
    """

    placed: tuple[Placed, ...]
    textures: tuple[Texture, ...]

    @cached_property
    def triangles(self) -> Triangles:
        """All triangles in the world."""
        vertices, triangles, uv, objects, textures = zip(*(placed.triangles() for placed in self.placed))
        starts = np.cumsum([0, *(len(part) for part in vertices[:-1])])
        return Triangles(np.concatenate(vertices),
                         np.concatenate([part + start for part, start in zip(triangles, starts)]).astype(np.int32),
                         np.concatenate(uv), np.concatenate(objects), np.concatenate(textures))


@dataclass(frozen=True, eq=False)
class _Slot:
    """How one material slot's faces are baked: the texture's number, the number of the mesh's last slot, the UV map,
    and the mapping (2×2, 2) after it.
    """

    texture: int
    last: int
    uv_map: str
    turn: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Placed:
    """A mesh at its place in the world.

    Attributes:
        shape, matrix: The mesh, and where it is.
        number: Counts the objects in view.
        slots: Its material slots; () if it is only in the way.
        owner: The object, unless it is only an instance of it.
    """

    shape: Shape
    matrix: np.ndarray
    number: int
    slots: tuple[_Slot | None, ...]
    owner: Identity | None

    def triangles(self) -> tuple[np.ndarray, ...]:
        """Return vertices, triangles, UVs, objects and textures as in `Triangles`."""
        shape, matrix = self.shape, self.matrix
        vertices = (shape.vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
        loops = shape.loops
        uv = np.zeros((len(loops), 3, 2), np.float32)
        textures = np.full(len(loops), OCCLUDER, np.int32)
        of_slot = shape.clipped(len(self.slots) - 1)[shape.polygons] if self.slots else None
        for number, slot in enumerate(self.slots):
            if slot is not None:
                mine = of_slot == number
                textures[mine] = slot.texture
                if slot.uv_map in shape.uvs:
                    uv[mine] = shape.uvs[slot.uv_map][loops[mine]] @ slot.turn.T + slot.shift
        triangles = shape.corners[loops]
        if np.linalg.det(matrix[:3, :3]) < 0:  # mirrored: what was anticlockwise is not
            triangles, uv = triangles[:, ::-1], uv[:, ::-1]
        return vertices, triangles, uv, np.full(len(loops), self.number, np.int32), textures


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
            if slot.material is not None and not mapping_in(slot.material)[1].by_uv:
                raise TargetUnusable(f"The base color of '{slot.material.name}' is not mapped by a UV map.",
                                     "Connect a UV Map node to its image, or remove the image.")


def collect(objects: Collection[bpy.types.Object], graph: bpy.types.Depsgraph,
            shown: Collection[bpy.types.Object] | None = None, single_user: bool = False) -> Collected:
    """Return the triangles of `objects` with their textures, and of all else that is in the way.

    Args:
        objects: Meshes, for which `check_objects` has passed.
        graph: The evaluated scene.
        shown: The objects in the picture; None for all that `graph` has.
        single_user: Whether linked duplicates get textures of their own, instead of sharing one.

    Raises:
        SourceUnusable: None of the objects is in the evaluated scene, or none has a face.
    """
    chosen = set(objects)
    textures = _Textures(single_user)
    shapes: dict[int, Shape | None] = {}
    placed = []
    for number, (obj, now, matrix, itself) in enumerate(_instances(graph, shown)):
        key = now.data.as_pointer() if now.type == "MESH" else now.as_pointer()
        if key not in shapes:
            shapes[key] = _shape(now)
        shape = shapes[key]
        if shape is not None:
            slots = textures.of(obj, shape) if obj in chosen else ()
            placed.append(Placed(shape, matrix, number, slots, identity(obj) if slots and itself else None))
    if not textures.known:
        names = ", ".join(sorted(obj.name for obj in chosen))
        raise SourceUnusable(f"Nothing of {names} is rendered.", "Show the objects, and look at their modifiers.")
    return Collected(tuple(placed), textures.with_tiles())


def mapping_in(material: bpy.types.Material) -> tuple[bpy.types.ShaderNodeTexImage | None, shaders.Mapping]:
    """Return the image node of a material's base colour, None for none, and how it lies on faces."""
    node = base_color_node(material) if compat.uses_nodes(material) else None
    if node is None:
        return None, shaders.Mapping()
    return node, shaders.mapping_of(node, shaders.groups_of(material, node))


# ---- inside --------------------------------------------------------------------------------------------------------


def _instances(graph: bpy.types.Depsgraph, shown: Collection[bpy.types.Object] | None
               ) -> Iterator[tuple[bpy.types.Object, bpy.types.Object, np.ndarray, bool]]:
    """Yield everything with surfaces: the original object, the evaluated one, the world matrix, and whether it is the
    object itself and no instance.
    """
    for instance in graph.object_instances:
        placed = instance.object
        owner = (instance.parent or placed).original
        if placed.type in _SHAPES and instance.show_self and (shown is None or owner in shown):
            yield placed.original, placed, np.array(instance.matrix_world, np.float64), not instance.is_instance


def _shape(placed: bpy.types.Object) -> Shape | None:
    """Return the evaluated object's mesh; None if it has no faces."""
    own = placed.type == "MESH" and not placed.data.is_editmode  # in Edit Mode its arrays are empty
    mesh = placed.data if own else placed.to_mesh()
    try:
        return read_mesh(mesh) if mesh is not None and len(mesh.polygons) else None
    finally:
        if not own:
            placed.to_mesh_clear()


class _Textures:
    """The textures that were met so far: by mesh, slot and material, with how their faces are mapped, and the shapes
    that show them.
    """

    def __init__(self, single_user: bool) -> None:
        self._single_user = single_user
        self.known: dict[tuple, tuple[Texture, _Slot, list[Shape]]] = {}

    def of(self, obj: bpy.types.Object, shape: Shape) -> tuple[_Slot | None, ...]:
        """Return how the faces of each material slot of `obj` are baked; None for slots without faces."""
        count = max(1, len(obj.material_slots))
        used = np.bincount(shape.clipped(count - 1), minlength=count)
        return tuple(self._slot(obj, number, shape, count - 1) if used[number] else None for number in range(count))

    def _slot(self, obj: bpy.types.Object, number: int, shape: Shape, last: int) -> _Slot:
        """Return how a slot's faces are baked; linked duplicates share one texture."""
        material = obj.material_slots[number].material if obj.material_slots else None
        shared = obj if self._single_user else obj.data
        key = (shared.session_uid, number, material.session_uid if material is not None else 0)
        owner = identity(obj)
        if key in self.known:
            texture, slot, shapes = self.known[key]
            if owner not in texture.owners:
                self.known[key] = replace(texture, owners=(*texture.owners, owner)), slot, shapes
        else:
            node, mapping = mapping_in(material) if material is not None else (None, shaders.Mapping())
            image = node.image if node is not None else None
            uv_map = mapping.uv_map if mapping.uv_map in shape.uvs else shape.render_uv
            matrix = np.array(mapping.matrix, np.float32)
            slot, shapes = _Slot(len(self.known), last, uv_map, matrix[:2, :2], matrix[:2, 3]), []
            self.known[key] = Texture((owner,), number, identity(material) if material is not None else None, uv_map,
                                      identity(image) if image is not None else None), slot, shapes
        if shape not in shapes:
            shapes.append(shape)
        return slot

    def with_tiles(self) -> tuple[Texture, ...]:
        """Return the textures in the order of their numbers, with the UDIM tiles that their faces lie on."""
        result = []
        for texture, slot, shapes in self.known.values():
            image = lookup(texture.image) if texture.image is not None else None
            if image is not None and image.source == "TILED":
                texture = replace(texture, udim=_tiles_under(image, slot, texture.slot, shapes))
            result.append(texture)
        return tuple(result)


def _tiles_under(image: bpy.types.Image, slot: _Slot, number: int, shapes: Collection[Shape]) -> tuple[int, ...]:
    """Return the tiles of `image` that faces of the material slot `number` lie on."""
    used = set()
    for shape in shapes:
        if slot.uv_map not in shape.uvs:
            continue
        mine = shape.clipped(slot.last)[shape.polygons] == number
        uv = shape.uvs[slot.uv_map][shape.loops[mine]] @ slot.turn.T + slot.shift
        low, high = uv.min(1), uv.max(1)
        used |= {tile.number for tile in image.tiles
                 if ((high > tiles.corner_of(tile.number)) & (low < np.add(tiles.corner_of(tile.number), 1))
                     ).all(1).any()}
    return tuple(tile.number for tile in image.tiles if tile.number in used)
