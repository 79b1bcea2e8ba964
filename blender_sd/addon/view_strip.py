"""Keep the small pictures of the views that the panel Texture Object shows: the selected objects from each of them.

The panel tells what it shows, and turns of the timer draw it, a few pictures each. Drawing begins with a button and
from then on follows the selection.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import bpy
import bpy.utils.previews
import numpy as np
from bpy.app.handlers import persistent

from .. import scene
from ..core.errors import SDError
from ..core.tasks import SIDES
from ..scene.side_pictures import SIDE, Drawer, Solids, read_solids

log = logging.getLogger("blender_sd")

_BUDGET = 0.02  # seconds of the main thread after which a turn begins no further picture; one took 30 ms in software


class Strip(NamedTuple):
    """Whose views they are: the objects, and the cameras that see them; () for the sides."""

    objects: tuple[scene.Identity, ...]
    cameras: tuple[scene.Identity, ...]


_previews: Any = None
_follows = False
_asked: Strip | None = None  # what the panel shows
_drawn: Strip | None = None  # what the pictures are of
_drawer: Drawer | None = None  # while pictures are drawn
_waiting: list[Any] = []  # sides, or cameras, that are still to be drawn
_pictures: dict[str, np.ndarray] = {}
note = ""  # why there are no pictures


def watch(objects: Sequence[bpy.types.Object], cameras: Sequence[bpy.types.Object]) -> None:
    """Note whose views the panel shows; `cameras` is empty for the sides."""
    global _asked
    _asked = Strip(tuple(map(scene.identity, objects)), tuple(map(scene.identity, cameras)))


def icon_of(name: str) -> int:
    """Return the icon of a side or a camera; 0 while there is none."""
    return _previews[name].icon_id if _previews is not None and name in _previews else 0


def has_pictures() -> bool:
    """Return whether there are any icons."""
    return bool(_previews)


def show(objects: Sequence[bpy.types.Object], cameras: Sequence[bpy.types.Object]) -> None:
    """Have the views of `objects` drawn as they are now, and follow the selection from then on."""
    global _follows, _drawn
    watch(objects, cameras)
    _follows, _drawn = True, None


def busy() -> bool:
    """Return whether pictures are still to be drawn."""
    return _drawer is not None


def update() -> bool:
    """Draw the next pictures; return whether the panel must be drawn again."""
    global note, _follows
    try:
        if _follows and _asked is not None and _asked != _drawn:
            _begin(_asked)
            if _drawer is None:
                return True
        return _drawer is not None and _draw_some(_drawer)
    except SDError as error:
        note = str(error)
    except Exception:  # any error of the graphics driver: the views can be chosen by their names
        log.exception("the views cannot be drawn")
        note, _follows = "The views cannot be drawn here; choose them by their names.", False
    _clear()
    return True


def _begin(strip: Strip) -> None:
    global _drawn, _drawer, note
    _drawn, _drawer, note = strip, None, ""
    if not strip.objects:
        _clear()
        return
    objects = [obj for known in strip.objects if (obj := scene.lookup(known)) is not None]
    _drawer = Drawer(read_solids(objects))
    _waiting[:] = strip.cameras or SIDES
    _pictures.clear()


def _draw_some(drawer: Drawer) -> bool:
    """Draw pictures; show all once they are there, and return whether they are."""
    global _drawer
    begun = time.perf_counter()
    while _waiting:
        view = _waiting.pop(0)
        name, lens = (view, drawer.solids.side_lens(view)) if isinstance(view, str) else _camera(view, drawer.solids)
        if lens is not None:
            _pictures[name] = drawer.picture(lens)
        if _waiting and time.perf_counter() - begun > _BUDGET:
            return False
    _drawer = None
    _previews.clear()
    for name, pixels in _pictures.items():
        preview = _previews.new(name)
        preview.image_size = SIDE, SIDE
        preview.image_pixels_float.foreach_set(pixels.ravel())
    _pictures.clear()
    return True


def _camera(known: scene.Identity, solids: Solids) -> tuple[str, Any]:
    """Return a camera's name, and its lens or None: for a panoramic one, or one that is gone."""
    camera = scene.lookup(known)
    try:
        return known.name, solids.camera_lens(camera) if camera is not None else None
    except SDError:
        return known.name, None


def _clear() -> None:
    """Go back to names without pictures."""
    global _drawer
    _drawer = None
    _waiting.clear()
    _pictures.clear()
    if _previews is not None:
        _previews.clear()


@persistent
def _forget(*_: object) -> None:
    global _follows, _asked, _drawn, note
    _follows, _asked, _drawn, note = False, None, None, ""
    _clear()


def register() -> None:
    global _previews
    _previews = bpy.utils.previews.new()
    bpy.app.handlers.load_post.append(_forget)


def unregister() -> None:
    global _previews
    bpy.app.handlers.load_post.remove(_forget)
    _forget()
    bpy.utils.previews.remove(_previews)
    _previews = None
