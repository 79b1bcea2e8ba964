"""Keep the marks of generated images (`scene.marks`) up to date when a file is saved and when Blender has baked."""
from __future__ import annotations

import logging

import bpy
from bpy.app.handlers import persistent

from .. import scene

log = logging.getLogger("blender_sd")


@persistent
def _on_save(*_: object) -> None:
    try:
        scene.on_save()
    except Exception:  # any error: the file must still be saved
        log.exception("the marks of generated images were not brought up to date")


@persistent
def _on_bake(active: bpy.types.Object, *_: object) -> None:
    """Update marks after a bake. Blender calls this on the main thread, with the active object, when a bake is done."""
    try:
        scene.baked_by(bpy.context, active)
    except Exception:  # any error: the bake itself is done
        log.exception("a baked image was not marked")


_HANDLERS = (("save_pre", _on_save), ("object_bake_complete", _on_bake))


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
