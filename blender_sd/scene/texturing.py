"""What painting whole objects asks of the scene: objects and textures by name, masks over their images, their faces."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from ..core.errors import SourceUnusable, TargetUnusable
from ..core.names import closest, suggestion
from . import masks, tiles
from .baking import Place, Plan
from .sources import SourceLike, open_mask
from .shapes import Shape, read_mesh, readable
from .surfaces import Surface, textured_surface
from .targets import find, lookup
from .triangles import mapping_in

_HALF = 0.5  # the least weight of vertices that a vertex group's faces have


def object_named(name: str) -> bpy.types.Object:
    """Return the scene's object of that name. Raise TargetUnusable if there is none."""
    obj = bpy.context.scene.objects.get(name)
    if obj is None:
        near = closest(name, [one.name for one in bpy.context.scene.objects if one.type == "MESH"])
        raise TargetUnusable(f"There is no object called '{name:.60}' in the scene.", suggestion(name, near))
    return obj


def baked_names(plan: Plan) -> list[tuple[str, ...]]:
    """Return for each texture of a plan the names of its objects and of its material."""
    names: dict[int, tuple[str, ...]] = {}
    for onto, spot in zip(plan.sheets, plan.places):
        material = spot.texture.material
        names[onto.texture] = (*(owner.name for owner in spot.texture.owners), *([material.name] if material else []))
    return [names[number] for number in sorted(names)]


def textured_faces(plan: Plan) -> list[Surface]:
    """Return the faces on which the plan's first image is seen, for previews of it: none in Edit Mode or without UVs.
    """
    texture = plan.places[0].texture
    material = lookup(texture.material) if texture.material is not None else None
    shown = [obj for owner in texture.owners if (obj := lookup(owner)) is not None]
    faces = (textured_surface(obj, material, texture.uv_map, bpy.context) for obj in shown)
    return [surface for surface in faces if surface is not None]


def texture_masks(plan: Plan, mask: Any) -> dict[str, SourceLike]:
    """Return what is repainted of each image of a plan, as inputs for the engine: "mask0", ….

    Args:
        plan: What is painted.
        mask: An image in the objects' UVs; "FACES", the selected faces; or the name of a vertex group.

    Raises:
        SourceUnusable: The image cannot be read, no object has that vertex group, or the faces have no UVs yet.
        TargetUnusable: No face is selected, or none belongs to the vertex group.
    """
    by_faces = isinstance(mask, str) and (mask == "FACES" or any(mask in find(
        place.texture.owners[0]).vertex_groups for place in plan.places))
    if not by_faces:
        return {f"mask{number}": open_mask(mask, (onto.width, onto.height))
                for number, onto in enumerate(plan.sheets)}
    result: dict[str, SourceLike] = {}
    for number, (place, onto) in enumerate(zip(plan.places, plan.sheets)):
        triangles = _triangles(place, mask)
        if triangles is not None:
            result[f"mask{number}"] = masks.drawn(triangles, (onto.width, onto.height))
    if not result:
        raise TargetUnusable("No face of the objects is selected." if mask == "FACES" else
                             f"No face of the objects has vertices of '{mask:.60}' with half of the weight.",
                             "Select the faces to paint in Edit Mode." if mask == "FACES" else "Paint more weight.")
    return result


def _triangles(place: Place, mask: str) -> Callable[[], np.ndarray] | None:
    """Return a function, for any thread, that returns the chosen faces of the texture's mesh, in the slot that shows
    it, as N×3×2 UVs on its image or tile; None if no face is chosen."""
    texture = place.texture
    obj = find(texture.owners[0])
    if not texture.uv_map:
        raise SourceUnusable(f"'{obj.name}' has no UV map.", "Unwrap it first (UV ▸ Unwrap).")
    if texture.uv_map not in obj.data.uv_layers:
        raise SourceUnusable(f"'{obj.name}' has its UV map from a modifier, so faces have no place in it.",
                             "Use an image as the mask.")
    with readable(obj) as mesh:
        if not len(mesh.polygons):
            return None
        shape = read_mesh(mesh)
        chosen = masks.selected_faces(mesh) if mask == "FACES" else _weighty(obj, mesh, shape, mask)
    chosen &= shape.clipped(max(0, len(obj.material_slots) - 1)) == texture.slot
    if not chosen.any():
        return None
    matrix = np.array(mapping_in(find(texture.material))[1].matrix) if texture.material is not None else np.eye(4)
    corner = np.array(tiles.corner_of(place.udim))
    return lambda: masks.uv_triangles(shape, texture.uv_map, chosen) @ matrix[:2, :2].T + matrix[:2, 3] - corner


def _weighty(obj: bpy.types.Object, mesh: bpy.types.Mesh, shape: Shape, group: str) -> np.ndarray:
    """Return which faces of an object's mesh have all their vertices in a vertex group, with half of the weight."""
    if group not in obj.vertex_groups:
        return np.zeros(len(mesh.polygons), bool)
    index = obj.vertex_groups[group].index
    inside = np.array([any(part.group == index and part.weight >= _HALF for part in vertex.groups)
                       for vertex in mesh.vertices], bool)
    starts = np.cumsum(np.bincount(shape.polygons) + 2)[:-1]  # a polygon has two corners more than triangles
    return np.logical_and.reduceat(inside[shape.corners], [0, *starts])
