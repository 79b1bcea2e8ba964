"""Provide thumbnails of the styles: shipped ones, or for the artist's own style its newest picture in the history.

An open popover is not redrawn when Blender has read a thumbnail, so `update` reads the small shipped ones beforehand, a
few at each turn of the timer. Blender's thread reads the artist's own pictures when they are first drawn.
"""
from __future__ import annotations

import bpy  # noqa: F401 (for bpy.utils)
import bpy.utils.previews

from ..calls import history, styles as styles_calls
from ..calls.runtime import SHIPPED_STYLES
from ..core.names import name_key

_FOLDER = SHIPPED_STYLES / "thumbnails"
_AT_ONCE = 1  # thumbnails that one turn of the timer reads; one took 5 ms on two busy cores
_NEUTRAL = str(_FOLDER / "neutral.jpg")

_previews: bpy.utils.previews.ImagePreviewCollection | None = None
_files: dict[str, str] = {}  # style's key -> its thumbnail
_icons: dict[str, int] = {}  # style's key -> Blender's icon of that file
_unread: list[str] = []  # shipped thumbnails that Blender has not read yet
_made_of: tuple = ()  # the styles and the history's entries that `_files` was made of


def icon_of(name: str) -> int:
    """Return the icon of the style of that name, 0 if there is none. Reads no file, so it suits drawing."""
    return _icons.get(name_key(name), 0)


def update() -> bool:
    """Update each style's thumbnail; return whether any has changed. Cheap if nothing is new."""
    global _made_of, _previews
    for file in _unread[:_AT_ONCE]:
        _unread.remove(file)
        if file in _previews:
            _previews[file].image_size[:]  # asking for the size makes Blender read the file
    styles, entries = styles_calls.known_styles(), history.known_entries()
    if len(_made_of) == 2 and styles is _made_of[0] and entries is _made_of[1]:
        return False
    _made_of = (styles, entries)
    newest: dict[str, str] = {}
    for entry in entries:
        if entry.style:
            newest.setdefault(name_key(entry.style), entry.path)
    files = {
        name_key(style.name): newest.get(name_key(style.name), _NEUTRAL) if style.own else str(_FOLDER
                                                                                               / f"{style.name}.jpg")
        for style in styles}
    if _previews is None:
        _previews = bpy.utils.previews.new()
    for file in set(_previews) - set(files.values()):
        del _previews[file]
    for file in set(files.values()) - set(_previews):
        _previews.load(file, file, "IMAGE")
        if file.startswith(str(_FOLDER)):
            _unread.append(file)
    changed = files != _files
    _files.clear()
    _files.update(files)
    _icons.clear()
    _icons.update({key: _previews[file].icon_id for key, file in files.items()})
    return changed


def register() -> None:
    pass


def unregister() -> None:
    global _previews, _made_of
    _files.clear()
    _icons.clear()
    _unread.clear()
    _made_of = ()
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None
