"""Restyle each still right after it was rendered, where the panel Animation says so.

Blender calls handlers on the render's own thread, so they only take a note; the timer reads it when the render has
ended. An animation has a task of its own and is left alone.
"""
from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from ..scene import renders

_frames = 0  # rendered since the render began
_due = ""  # the scene whose render has ended


@persistent
def _begins(*_: object) -> None:
    global _frames
    _frames = 0


@persistent
def _renders(*_: object) -> None:
    global _frames
    _frames += 1


@persistent
def _ends(scene: bpy.types.Scene, *_: object) -> None:
    global _due
    if _frames == 1 and not renders.is_ours() and scene.sd.animation.every_render:
        _due = scene.name


def turn() -> None:
    """Restyle the render that has ended, if one has. Called by the timer."""
    global _due
    name, _due = _due, ""
    if name and name == bpy.context.scene.name:
        _restyle()


def _restyle() -> None:
    if bpy.ops.sd.restyle.poll():
        bpy.ops.sd.restyle(source="RENDER")


_HANDLERS = {"render_init": _begins, "render_post": _renders, "render_complete": _ends}


def register() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
