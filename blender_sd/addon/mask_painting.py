"""Define what is painted as a mask, kept with the file, and when editors and brush follow it (`scene.painting`).

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import logging
from collections.abc import Callable

import bpy
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, PointerProperty, StringProperty

from .. import scene

log = logging.getLogger("blender_sd")


class SD_PG_mask_painting(bpy.types.PropertyGroup):
    """The painting of one scene's mask; `image` is empty while there is none."""

    image: PointerProperty(type=bpy.types.Image, name="Image", description="The image whose mask is being painted")
    object: PointerProperty(type=bpy.types.Object, name="Object", description="The object on which it is painted")
    on_canvas: BoolProperty(name="Canvas", description="Whether the image was the canvas of Texture Paint")
    former: StringProperty(name="Before", description="Brush, canvas, mode and editors as they were, to be restored")


def update() -> bool:
    """Notice, for the timer, that the artist has left the painting in another way. Return False: no panel changes."""
    before = scene.painted_image(bpy.context.scene)
    _guarded(scene.settle_painting)
    return before != scene.painted_image(bpy.context.scene)


def _guarded(work: Callable[[], None]) -> None:
    """Return the handler wrapped so that undo, loading, saving and the timer go on if it fails."""
    try:
        work()
    except Exception:
        log.exception("the painting of a mask could not be followed")


@persistent
def _before_undo(*_: object) -> None:
    _guarded(scene.remember_masks)


@persistent
def _after_undo(*_: object) -> None:
    _guarded(scene.bring_back_masks)
    _guarded(scene.settle_painting)


@persistent
def _on_load(*_: object) -> None:
    scene.forget_painting()
    _guarded(scene.settle_painting)


@persistent
def _on_save(*_: object) -> None:
    _guarded(scene.keep_painted_masks)


_HANDLERS = (("undo_pre", _before_undo), ("redo_pre", _before_undo), ("undo_post", _after_undo),
             ("redo_post", _after_undo), ("load_post", _on_load), ("save_pre", _on_save))
CLASSES = (SD_PG_mask_painting,)


def register() -> None:
    bpy.types.Scene.sd_mask_painting = PointerProperty(type=SD_PG_mask_painting, name="Mask Painting",
                                                       options={"HIDDEN"}, description="The mask that is being painted")
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    for owner in bpy.data.scenes:
        scene.finish_painting(bpy.context, owner)
    scene.forget_painting()
    del bpy.types.Scene.sd_mask_painting
