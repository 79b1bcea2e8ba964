"""Keeps the marks of generated images true (`scene.marks`): when a file is saved, and when Blender has baked."""
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
    except Exception:  # whatever it is, the file has to be saved
        log.exception("the marks of generated images were not brought up to date")


@persistent
def _on_bake(active: bpy.types.Object, *_: object) -> None:
    """Blender calls this on the main thread when a bake that the button has started is done, with the active object."""
    try:
        scene.baked_by(bpy.context, active)
    except Exception:  # the bake is done; nobody waits for this
        log.exception("a baked image was not marked")


_HANDLERS = (("save_pre", _on_save), ("object_bake_complete", _on_bake))


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
