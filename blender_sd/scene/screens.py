"""What is on screen: areas, the Image Editors that end on a result, and how undo returns them to what they showed
before.

The canvases of Texture Paint are returned in the same way.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import bpy

RENDERED = ("RENDER_RESULT", "COMPOSITING")  # `Image.type` of the Render Result and of the compositor's Viewer
_REMEMBERED = 256  # Blender's largest number of undo steps


@dataclass(frozen=True)
class Editor:
    """An Image Editor that can be found again.

    Attributes:
        space: Its pointer, which undo keeps.
        shown: Its image's `session_uid`, 0 for none.
    """

    space: int
    shown: int


@dataclass
class _Swap:
    """A change of the image that a holder shows; both images are named by `session_uid` (`before` 0: none).

    Attributes:
        holder: An editor's pointer, which undo keeps; for a scene's canvas, its `session_uid` below zero.
        undone: Whether undo removed the new image.
    """

    holder: int
    before: int
    after: int
    undone: bool = False


_swaps: deque[_Swap] = deque(maxlen=_REMEMBERED)


def areas(kind: str) -> list[bpy.types.Area]:
    """Return the open areas of that type, in all windows; none in background mode, where nobody sees them."""
    if bpy.app.background:
        return []
    return [area for window in bpy.context.window_manager.windows for area in window.screen.areas if area.type == kind]


def redraw(*kinds: str) -> None:
    """Redraw all open areas of these types."""
    for kind in kinds:
        for area in areas(kind):
            area.tag_redraw()


def editors() -> list[bpy.types.SpaceImageEditor]:
    """Return the Image Editors that are open in any window, without UV Editors."""
    return [area.spaces.active for area in areas("IMAGE_EDITOR") if area.ui_type == "IMAGE_EDITOR"]


def editor_of(context: bpy.types.Context) -> Editor | None:
    """Return the Image Editor of `context`, or None if it is in another editor."""
    area = context.area
    if area is None or area.type != "IMAGE_EDITOR":
        return None
    space = area.spaces.active
    return Editor(space.as_pointer(), _uid(space.image))


def show(space: bpy.types.SpaceImageEditor, image: bpy.types.Image) -> None:
    """Show `image` in an Image Editor. If undo removes the image, the editor shows what it showed before."""
    if space.image != image:
        _remember(space.as_pointer(), space.image, image)
        space.image = image


def set_canvas(scene: bpy.types.Scene, image: bpy.types.Image) -> None:
    """Make `image` the canvas of Texture Paint in `scene`, until undo removes it.

    Image Editors stay as they are: Blender would show the canvas in all of them.
    """
    paint = scene.tool_settings.image_paint
    if paint.canvas != image:
        _remember(-scene.session_uid, paint.canvas, image)
        with kept():
            paint.canvas = image


def show_in_editor(image: bpy.types.Image) -> bool:
    """Show `image` in an open Image Editor (see `best_editor`). Return whether there was one."""
    space = best_editor()
    if space is None:
        return False
    show(space, image)
    redraw("IMAGE_EDITOR")
    return True


def replace_image(former: bpy.types.Image, image: bpy.types.Image) -> None:
    """Show `image` in every Image and UV Editor that shows `former`.

    Pinned editors count, as do those on other workspaces and those hidden in areas that are another editor now.
    """
    for space in _spaces():
        if space.image == former:
            show(space, image)
    redraw("IMAGE_EDITOR")


def is_shown(image: bpy.types.Image) -> bool:
    """Return whether an Image or UV Editor shows `image`, on screen or not."""
    return any(space.image == image for space in _spaces())


@contextmanager
def kept() -> Iterator[None]:
    """Return a context after which Image Editors show the same images as before, whatever Blender sets in between."""
    before = [(space, space.image) for space in _spaces()]
    try:
        yield
    finally:
        for space, image in before:
            if space.image != image:
                space.image = image


def best_editor() -> bpy.types.SpaceImageEditor | None:
    """Return the open Image Editor for a picture that belongs nowhere else, or None.

    An editor that shows a running render is left alone; a pinned one, or one that shows the Render Result, is the last
    resort.
    """
    free = [space for space in editors() if not _renders(space)]
    return min(free, key=lambda space: (space.use_image_pin, space.image is not None and space.image.type in RENDERED),
               default=None)


def viewers(former: bpy.types.Image | None, started: Editor | None, needed: bool) -> list[bpy.types.SpaceImageEditor]:
    """Return the open Image and UV Editors in which a result ends.

    These are the editors that show `former`, which it replaces, and the one in which the job was started, unless that
    shows something else by now. If there are none, an empty editor; if there is not even that and the result is
    `needed` on screen, the best one that is open.
    """
    spaces = [area.spaces.active for area in areas("IMAGE_EDITOR")]
    chosen = [space for space in spaces if _shows(space, former) or (started is not None and _is_still(space, started))]
    if not chosen:
        empty = next((space for space in editors() if space.image is None and not space.use_image_pin), None)
        chosen = [empty or (best_editor() if needed else None)]
    return [space for space in chosen if space is not None]


def release() -> None:
    """Remove our handlers from Blender, for unregistering."""
    _swaps.clear()
    for handlers, handler in _handlers():
        if handler in handlers:
            handlers.remove(handler)


# ---- inside --------------------------------------------------------------------------------------------------------


def _uid(image: bpy.types.Image | None) -> int:
    return image.session_uid if image is not None else 0


def _spaces() -> Iterator[bpy.types.SpaceImageEditor]:
    for screen in bpy.data.screens:
        for area in screen.areas:
            yield from (space for space in area.spaces if space.type == "IMAGE_EDITOR")


def _shows(space: bpy.types.SpaceImageEditor, image: bpy.types.Image | None) -> bool:
    return image is not None and space.image == image


def _is_still(space: bpy.types.SpaceImageEditor, started: Editor) -> bool:
    """Return whether `space` is the editor `started` and shows what it showed then, or what we have shown in it."""
    if space.as_pointer() != started.space or _renders(space):
        return False
    shown = _uid(space.image)
    return shown in (started.shown, 0) or any(swap.holder == started.space and swap.after == shown for swap in _swaps)


def _renders(space: bpy.types.SpaceImageEditor) -> bool:
    return space.image is not None and space.image.type in RENDERED and bpy.app.is_job_running("RENDER")


def _handlers() -> tuple[tuple[list, object], ...]:
    return (bpy.app.handlers.undo_post, _after_undo), (bpy.app.handlers.redo_post, _after_redo)


def _remember(holder: int, before: bpy.types.Image | None, after: bpy.types.Image) -> None:
    for handlers, handler in _handlers():
        if handler not in handlers:
            handlers.append(handler)
    _swaps.append(_Swap(holder, _uid(before), after.session_uid))


def _holders() -> dict[int, tuple[bpy.types.bpy_struct, str]]:
    """Return what shows an image, each with the name of its property: canvases first, since setting one changes
    editors.
    """
    canvases = {-scene.session_uid: (scene.tool_settings.image_paint, "canvas") for scene in bpy.data.scenes
                if scene.is_editable}
    return canvases | {space.as_pointer(): (space, "image") for space in _spaces()}


def _turn(holder: tuple[bpy.types.bpy_struct, str] | None, shown: int, image: bpy.types.Image) -> None:
    """Show `image` in a holder that shows the image `shown` (a `session_uid`, 0 for none) now."""
    if holder is not None and _uid(getattr(*holder)) == shown:
        with kept() if holder[1] == "canvas" else nullcontext():
            setattr(*holder, image)


@bpy.app.handlers.persistent
def _after_undo(*_: object) -> None:
    """Give holders back the image from before if undo removed the one that they showed.

    The newest change comes first, so that undo over several steps ends at the oldest image.
    """
    if not _swaps:
        return
    holders, images = _holders(), {image.session_uid: image for image in bpy.data.images}
    for swap in reversed(_swaps):
        if swap.after not in images:
            swap.undone = True
            if swap.before in images:
                _turn(holders.get(swap.holder), 0, images[swap.before])


@bpy.app.handlers.persistent
def _after_redo(*_: object) -> None:
    """Show images again that redo brought back, where they were shown."""
    if not any(swap.undone for swap in _swaps):
        return
    holders, images = _holders(), {image.session_uid: image for image in bpy.data.images}
    for swap in _swaps:
        if swap.undone and swap.after in images:
            swap.undone = False
            _turn(holders.get(swap.holder), swap.before, images[swap.after])
