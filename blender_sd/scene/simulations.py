"""Simulations that are not baked: what they look like in a frame follows from all frames before it."""
from __future__ import annotations

from collections.abc import Iterator

import bpy


def start_of(scene: bpy.types.Scene) -> int | None:
    """Return the first frame from which `scene` has to be evaluated frame by frame; None if it can be in any order."""
    return min(_starts(scene), default=None)


# ---- inside --------------------------------------------------------------------------------------------------------


def _starts(scene: bpy.types.Scene) -> Iterator[int]:
    world = scene.rigidbody_world
    if world is not None and world.enabled and world.collection is not None and world.collection.objects:
        yield from _of(world.point_cache)
    for thing in scene.objects:
        for modifier in thing.modifiers:
            if modifier.show_render:
                yield from _of_modifier(modifier, scene)


def _of_modifier(modifier: bpy.types.Modifier, scene: bpy.types.Scene) -> Iterator[int]:
    if modifier.type in ("CLOTH", "SOFT_BODY"):
        yield from _of(modifier.point_cache)
    elif modifier.type == "PARTICLE_SYSTEM":
        system = modifier.particle_system
        if system.settings.type == "EMITTER" or system.use_hair_dynamics:
            yield from _of(system.point_cache)
    elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings is not None:
        for surface in modifier.canvas_settings.canvas_surfaces:
            yield from _of(surface.point_cache)
    elif modifier.type == "FLUID" and modifier.domain_settings is not None:
        if modifier.domain_settings.cache_type == "REPLAY":
            yield modifier.domain_settings.cache_frame_start
    elif modifier.type == "NODES" and len(modifier.bakes):  # simulation zones; whether they are baked, Blender hides
        yield scene.frame_start


def _of(cache: bpy.types.PointCache) -> Iterator[int]:
    if not cache.is_baked and not cache.use_external:
        yield cache.frame_start
