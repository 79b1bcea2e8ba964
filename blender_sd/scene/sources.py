"""Whatever a script or an operator calls a source, as `messages.Source` and its size."""
from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import bpy
import numpy as np

from ..protocol.errors import SourceUnusable
from ..protocol.messages import Source
from . import images, masks, pixels, renders, viewport
from .encoded import HEADER_BYTES, read_header

SourceLike = Source | Callable[[], Source]


def open_source(source: Any) -> tuple[SourceLike, tuple[int, int]]:
    """`source` as it travels (or a callable that gives it, on any thread), and its (width, height) in pixels.

    `source`: a bpy image, "RENDER" (the Render Result as shown), "CAMERA" (renders now and waits), "VIEWPORT" (the 3D View
    as seen), or what `array_source` takes. Raises SourceUnusable, and NeedsWindow for "VIEWPORT" without a window.
    """
    scene = bpy.context.scene
    if isinstance(source, bpy.types.Image):
        if source.type in images.RENDERED:
            return _with_size(renders.as_shown(source, scene))
        return images.source_of(source), images.size_of(source)
    if isinstance(source, str) and source in _SCENE_SOURCES:
        return _with_size(_SCENE_SOURCES[source](scene))
    if isinstance(source, (str, os.PathLike)):
        return _file(os.fspath(source))
    return _with_size(array_source(source))


def open_mask(mask: Any, size: tuple[int, int]) -> SourceLike:
    """`mask` as it travels: what `open_source` takes; an H×W array of bool, uint8 or float 0..1; or "FACES", the UV area of
    the active object's selected faces, drawn at `size` (width, height). Raises SourceUnusable, TargetUnusable."""
    if isinstance(mask, str) and mask == "FACES":
        return masks.faces_mask(bpy.context.object, size)
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        grey = mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
        mask = np.repeat(grey[..., None], 3, axis=2)
    return open_source(mask)[0]


def array_source(obj: Any) -> Source | Callable[[], Source]:
    """A source from a path (str or PathLike: the callable reads the file), a PIL image, or an H×W×3|4 array (uint8, or
    float 0..1; sRGB as displayed, row 0 on top, straight alpha). Raises SourceUnusable for a missing file, another
    shape or type of array, NaN and infinite values."""
    if isinstance(obj, (str, os.PathLike)):
        path = os.fspath(obj)
        if not os.path.isfile(path):
            raise SourceUnusable(f"There is no file '{path}'.", "Check the path of the source image.")
        return partial(_read, path)
    if hasattr(obj, "convert"):  # a PIL image, without importing PIL, which Blender lacks
        return Source(pixels=pixels.from_array(np.asarray(obj.convert("RGBA"))))
    if not isinstance(obj, np.ndarray):
        raise SourceUnusable(f"A source cannot be made from {type(obj).__name__}.",
                             "Give an image, a path, an array, or one of RENDER, CAMERA, VIEWPORT.")
    return Source(pixels=pixels.from_array(obj))


# ---- inside --------------------------------------------------------------------------------------------------------

_SCENE_SOURCES: dict[str, Callable[[bpy.types.Scene], SourceLike]] = {
    "RENDER": renders.render_result_source,
    "CAMERA": renders.render_camera,
    "VIEWPORT": lambda scene: viewport.viewport_source(bpy.context),
}


def _with_size(source: SourceLike) -> tuple[Source, tuple[int, int]]:
    made = source() if callable(source) else source
    height, width = made.pixels.shape[:2]
    return made, (width, height)


def _file(path: str) -> tuple[SourceLike, tuple[int, int]]:
    source = array_source(path)
    try:
        with open(path, "rb") as file:
            header = read_header(file.read(HEADER_BYTES))
    except OSError as error:
        raise _unreadable(path, error) from None
    if header is not None and header.plain:
        return source, (header.width, header.height)
    return _through_blender(path)


def _through_blender(path: str) -> tuple[SourceLike, tuple[int, int]]:
    """A file of another format, such as EXR or 16-bit PNG: Blender reads it."""
    try:
        image = bpy.data.images.load(path, check_existing=False)
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    try:
        size = images.size_of(image)
        return images.source_of(image), size
    finally:
        bpy.data.images.remove(image)


def _read(path: str) -> Source:
    try:
        with open(path, "rb") as file:
            return Source(encoded=file.read())
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> SourceUnusable:
    return SourceUnusable(f"The file '{path}' cannot be read.", "Choose another source image.", str(error))
