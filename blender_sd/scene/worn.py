"""Whether what is seen of an object, its mesh with modifiers applied, has a material and UVs."""
from __future__ import annotations

import bpy
import numpy as np

from ..core.errors import TargetUnusable
from . import uv


def check_shown(obj: bpy.types.Object, material: bpy.types.Material | None) -> None:
    """Raise TargetUnusable if a picture in `material` (None: one that is made for `obj`) would not be seen on `obj`.

    That is when modifiers leave other materials or no UVs, or a UV map of its own has no area. A missing UV map is made
    for the test and removed again.
    """
    if obj.mode == "SCULPT" and obj.use_dynamic_topology_sculpting:
        raise TargetUnusable(f"'{obj.name}' is sculpted with Dyntopo, which keeps no UV map.",
                             "Switch Dyntopo off first, then unwrap.")
    if obj.data.uv_layers and obj.mode != "EDIT" and _is_flat(obj.data):
        raise TargetUnusable(f"The UV map '{uv.rendered(obj.data).name}' of '{obj.name}' has no area, so the picture "
                             "would be one colour.",
                             "Unwrap the mesh (UV ▸ Unwrap), or delete the map, and another is made.")
    if not obj.modifiers or obj.mode == "EDIT":
        return
    lacking = not obj.data.uv_layers
    if lacking:
        uv.ensure_uv(obj)
    try:
        shown = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        if not isinstance(shown, bpy.types.Mesh) or not shown.polygons:
            return
        if not shown.uv_layers:
            raise TargetUnusable(f"What is seen of '{obj.name}' is made by modifiers and has no UV map, so the picture "
                                 "would not be seen.",
                                 "Store a UV map in the geometry nodes, or apply the modifiers and unwrap.")
        if not _wears(shown, obj, material):
            raise TargetUnusable(f"What is seen of '{obj.name}' is made by modifiers and does not wear its material, "
                                 "so the picture would not be seen.",
                                 "Set the material in the geometry nodes (Set Material), or apply the modifiers.")
    finally:
        if lacking:
            obj.data.uv_layers.remove(obj.data.uv_layers[0])


# ---- inside --------------------------------------------------------------------------------------------------------


def _wears(shown: bpy.types.Mesh, obj: bpy.types.Object, material: bpy.types.Material | None) -> bool:
    """Return whether a face of `shown`, what is seen of `obj`, has `material`, or the slot for a new one."""
    materials = list(shown.materials)
    if material is None:
        return bool(materials) or not obj.material_slots or not any(modifier.type == "NODES"
                                                                    for modifier in obj.modifiers)
    faces = np.zeros(len(shown.polygons), np.int32)
    shown.polygons.foreach_get("material_index", faces)
    by_object = {number: slot.material for number, slot in enumerate(obj.material_slots) if slot.link == "OBJECT"}
    worn = {by_object.get(number) or materials[number]
            for number in np.unique(np.clip(faces, 0, max(0, len(materials) - 1)))
            if number < len(materials)}
    return any(block is not None and block.original == material for block in worn)


def _is_flat(mesh: bpy.types.Mesh) -> bool:
    """Return whether all corners lie on one point of the UV map for rendering."""
    values = np.empty(len(mesh.loops) * 2, np.float32)
    if not len(values):
        return False
    uv.rendered(mesh).uv.foreach_get("vector", values)
    corners = values.reshape(-1, 2)
    return bool((corners == corners[0]).all())
