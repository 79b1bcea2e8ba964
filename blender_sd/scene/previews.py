"""The live preview: one image datablock, shown in an Image Editor while a picture is being made.

It is runtime data, which Blender writes into no file. Undo steps do hold it, so one that comes back by undo when no
picture is being made is removed at once.
"""
from __future__ import annotations

import bpy
import numpy as np

from . import images

NAME = "SD Preview"
_KEY = "blender_sd_preview"

_active = False  # between a show and its clear
_before: dict[tuple[int, int], int] = {}  # (screen's uid, index of the area) -> uid of the image it showed, 0 for none


def show_preview(pixels: np.ndarray) -> bpy.types.Image:
    """Fills the preview image with `pixels` (h×w×3 uint8 sRGB, row 0 on top) and shows it in an Image Editor, if one is
    open. What the editor showed comes back with `clear_preview`. Under 1 ms at 256²."""
    global _active
    _active = True
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        if _sweep not in handlers:
            handlers.append(_sweep)
    height, width = pixels.shape[:2]
    image = _find() or _make(width, height)
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    buffer = np.ones((height, width, 4), np.float32)
    np.multiply(pixels[::-1], np.float32(1 / 255), out=buffer[..., :3])
    image.pixels.foreach_set(buffer.ravel())
    image.update()
    _show(image)
    return image


def clear_preview() -> None:
    """Removes the preview and gives the Image Editors back what they showed. Does nothing where there is none."""
    global _active
    _active = False
    image = _find()
    if image is not None:
        _restore(image)
        bpy.data.images.remove(image)
    _before.clear()


def release() -> None:
    """Clears the preview and takes our handlers out of Blender: for unregistering."""
    clear_preview()
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        if _sweep in handlers:
            handlers.remove(_sweep)


# ---- inside --------------------------------------------------------------------------------------------------------


@bpy.app.handlers.persistent
def _sweep(*_: object) -> None:
    if not _active:
        clear_preview()


def _find() -> bpy.types.Image | None:
    return next((image for image in bpy.data.images if _KEY in image), None)


def _make(width: int, height: int) -> bpy.types.Image:
    image = bpy.data.images.new(NAME, width, height, alpha=False)
    image[_KEY] = True
    image.is_runtime_data = True
    return image


def _spaces() -> dict[tuple[int, int], bpy.types.SpaceImageEditor]:
    if bpy.app.background:
        return {}
    return {(window.screen.session_uid, index): area.spaces.active
            for window in bpy.context.window_manager.windows
            for index, area in enumerate(window.screen.areas) if area.type == "IMAGE_EDITOR" and area.ui_type == "IMAGE_EDITOR"}


def _show(image: bpy.types.Image) -> None:
    spaces = _spaces()
    if not any(space.image == image for space in spaces.values()):
        ours = [spaces[key] for key in _before if key in spaces]
        if any(space.image is not None for space in ours):
            return  # the artist has chosen to look at something else
        free = [(key, space) for key, space in spaces.items() if not space.use_image_pin]
        if not free:
            return
        # rather an empty editor, or one with a picture, than the one that shows the render
        key, space = min(free, key=lambda entry: entry[1].image is not None and entry[1].image.type in images.RENDERED)
        _before.setdefault(key, space.image.session_uid if space.image is not None else 0)
        space.image = image
    images.redraw("IMAGE_EDITOR")


def _restore(image: bpy.types.Image) -> None:
    for key, space in _spaces().items():
        if space.image == image:
            space.image = next((former for former in bpy.data.images if former.session_uid == _before.get(key, 0)), None)
