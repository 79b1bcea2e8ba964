"""Where the files of image datablocks lie."""
from __future__ import annotations

import os

import bpy

from ..library import paths

_TILE_TOKENS = ("<UDIM>", "<UVTILE>")


def path_of(image: bpy.types.Image, tile: int = 0) -> str:
    """Return the whole path of `image`'s file as Blender stores it; for a UDIM image, of the `tile` if one is given."""
    path = os.path.normpath(bpy.path.abspath(image.filepath_raw, library=image.library))
    if tile:
        column, row = (tile - 1001) % 10, (tile - 1001) // 10
        for token, number in zip(_TILE_TOKENS, (str(tile), f"u{column + 1}_v{row + 1}"), strict=True):
            path = path.replace(token, number)
    return path


def guarded_path(image: bpy.types.Image, tile: int = 0) -> str:
    """Return `path_of` if the file may be opened: not on another computer, unless the open .blend file lies there.

    Does not look at the disk.

    Raises:
        SourceUnusable: The file may not be opened.
    """
    path = path_of(image, tile)
    paths.check_file(path, [os.path.dirname(bpy.data.filepath)] if bpy.data.filepath else [])
    return path
