"""Texts in image datablocks and picture files, also hidden in pixels: the settings of other programs."""
from __future__ import annotations

import os

import bpy
import numpy as np

from ..core.errors import SourceUnusable
from ..library import embedded_texts, foreign_settings, png
from ..library.foreign_settings import ForeignSettings
from ..library.paths import open_plain
from .image_paths import guarded_path
from .marks import REQUEST_PROPERTY

_MOST = 1 << 27  # bytes of a file that are read


def foreign_settings_of(image: bpy.types.Image | str | os.PathLike) -> ForeignSettings | None:
    """Return the settings of another program in a picture.

    Args:
        image: A datablock, or a path.

    Returns:
        The settings; None if there are none, or this add-on's own.
    """
    if isinstance(image, bpy.types.Image) and REQUEST_PROPERTY in image:
        return None
    texts = texts_of(image)
    if png.REQUEST_KEY in texts:
        return None
    settings = foreign_settings.read(texts)
    if settings is None and (hidden := hidden_text(image)):
        settings = foreign_settings.read_hidden(hidden)
    return settings


def texts_of(image: bpy.types.Image | str | os.PathLike) -> dict[str, str]:
    """Return the texts in a picture's file; empty if it has no file that can be read.

    Args:
        image: A datablock, packed or not, or a path.
    """
    try:
        if isinstance(image, bpy.types.Image):
            if image.packed_file:
                return embedded_texts.texts_of(image.packed_file.data)
            if image.source != "FILE" or not image.filepath_raw:
                return {}
            image = guarded_path(image)
        with open_plain(image) as file:
            return embedded_texts.texts_of(file.read(_MOST))
    except (OSError, SourceUnusable):
        return {}


def hidden_text(image: bpy.types.Image | str | os.PathLike) -> str:
    """Return the text that a program has hidden in the alpha channel of `image`, or "".

    Decodes the picture: main thread only.
    """
    if isinstance(image, bpy.types.Image):
        return _hidden(image)
    try:
        loaded = bpy.data.images.load(os.fspath(image), check_existing=False)
    except RuntimeError:
        return ""
    try:
        return _hidden(loaded)
    finally:
        bpy.data.images.remove(loaded)


def _hidden(image: bpy.types.Image) -> str:
    width, height = image.size
    if image.is_float or image.channels != 4 or image.depth != 32 or not width * height:
        return ""
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    alpha = np.rint(pixels[3::4].reshape(height, width)[::-1] * 255).astype(np.uint8)
    return embedded_texts.hidden_text(alpha.T.tobytes())
