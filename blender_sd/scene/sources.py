"""Convert anything that a script or an operator gives as a source to `messages.Source`, and return its size."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import bpy
import numpy as np

from ..core.errors import SourceUnusable
from ..core.names import closest, suggestion
from ..library.encoded import HEADER_BYTES, no_picture, read_header
from ..library.paths import open_plain
from ..protocol import light as deep_sources
from ..protocol import picture_arrays
from ..protocol.messages import Source
from . import frames, handlers, images, light, masks, renders, tiles, viewport
from .screens import RENDERED

SourceLike = Source | Callable[[], Source]


def open_source(source: Any, names: tuple[str, ...] = (),
                mattes: bool = False, deep: bool = False) -> tuple[SourceLike, tuple[int, int]]:
    """Return a source, or a function that returns it on any thread, and its (width, height) in pixels.

    Args:
        source: A bpy image, "RENDER" (the Render Result as shown), "CAMERA" (renders now and waits), "VIEWPORT" (the 3D
            View as seen), or what `array_source` takes.
        names: What a caller takes besides these, for the hint if a name is mistyped.
        mattes: Whether a render that is made now is to write Cryptomatte, for regions.
        deep: Whether to bring values of more than 8 bits too (`protocol.light`), for regions that are kept.

    Raises:
        SourceUnusable: There is no such picture, or it cannot be read.
        NeedsWindow: "VIEWPORT" without a window.
    """
    scene = bpy.context.scene
    if isinstance(source, bpy.types.Image):
        if source.type in RENDERED:
            return _with_light(_with_size(renders.as_shown(source, scene)), scene, deep)
        return _opened(source, deep)
    if isinstance(source, str) and source == "CAMERA":
        frames.camera_of(scene)
        picture = handlers.after_render(scene, lambda: renders.render_camera(scene, mattes=mattes))
        if isinstance(picture, handlers.Later):
            return picture, source_size("CAMERA")
        return _with_light(_with_size(picture), scene, deep)
    if isinstance(source, str) and source in _SCENE_SOURCES:
        return _with_light(_with_size(_SCENE_SOURCES[source](scene)), scene, deep and source == "RENDER")
    if isinstance(source, (str, os.PathLike)):
        return _file(images.local_path(source), (*_SCENE_SOURCES, *names), deep)
    return _with_size(array_source(source))


def source_size(source: str) -> tuple[int, int]:
    """Return (width, height) in pixels of "RENDER", "CAMERA" or "VIEWPORT" as `open_source` takes them, without
    rendering.

    Raises:
        SourceUnusable: Nothing was rendered yet.
        NeedsWindow: "VIEWPORT" without a window.
    """
    return renders.render_result_size(bpy.context.scene) if source == "CAMERA" else open_source(source)[1]


def open_mask(mask: Any, size: tuple[int, int], masked: Any = None) -> SourceLike:
    """Return a mask as a source.

    Args:
        mask: What `open_source` takes, also arrays of 0 and 1; or "FACES", the UV area of the active object's selected
            faces.
        size: (width, height) at which "FACES" is drawn.
        masked: The source that is masked.

    Raises:
        SourceUnusable: The mask cannot be read.
        TargetUnusable: The active object has no selected faces, or no UV map.
    """
    if isinstance(mask, str) and mask == "FACES":
        return masks.faces_mask(bpy.context.object, size, masked if isinstance(masked, bpy.types.Image) else None)
    if isinstance(mask, np.ndarray) and mask.size and mask.dtype.kind in "iu" and mask.min() >= 0 and mask.max() <= 1:
        mask = mask.astype(bool)  # 0 and 1 of whole numbers are no and yes, not two kinds of black
    return open_source(mask, ("FACES", "ALPHA"))[0]


def held_source(image: bpy.types.Image, tile: int, deep: bool = False) -> SourceLike | None:
    """Return what an image holds, of a UDIM image the `tile`; None where it has no pixels.

    With `deep`, a Non-Color image's values of more than 8 bits come too (`protocol.light`).
    """
    def read(still: bpy.types.Image) -> SourceLike:
        shown = images.source_of(still)
        return light.of_map(still, shown) if deep else shown

    try:
        if not tile:
            return read(image)
        with tiles.tile_of(image, tile) as still:
            source = read(still)
            return source if isinstance(source, Source) else source()  # the tile is gone afterwards
    except SourceUnusable:
        return None


def array_source(obj: Any, names: Iterable[str] = ()) -> Source | Callable[[], Source]:
    """Return a source from a path (the returned function reads the file), a PIL image or an array.

    Args:
        obj: str, PathLike, PIL image of any mode, or array (H×W or H×W×1 to 4; uint8, uint16, bool, or float 0..1; sRGB
            as displayed, row 0 on top, straight alpha).
        names: What may have been meant instead of a path, for the hint.

    Raises:
        SourceUnusable: The file is missing, the array has another shape or type, or there are NaN or infinite values or
            floats up to 255.
    """
    if isinstance(obj, (str, os.PathLike)):
        path = images.local_path(obj)
        if os.path.isdir(path):
            raise SourceUnusable(f"'{path}' is a folder, not a picture.", "Give the path of a picture in it.")
        if not os.path.isfile(path):
            raise SourceUnusable(f"There is no file '{path}'.",
                                 suggestion(path, closest(path, names), "Check the path of the source image."))
        return partial(_read, path)
    if not picture_arrays.is_picture(obj):
        raise SourceUnusable(f"A source cannot be made from {type(obj).__name__}.",
                             "Give an image, a path, an array, or one of RENDER, CAMERA, VIEWPORT.")
    return Source(pixels=picture_arrays.pixels_of(obj))


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


def _with_light(opened: tuple[SourceLike, tuple[int, int]], scene: bpy.types.Scene,
                deep: bool) -> tuple[SourceLike, tuple[int, int]]:
    """Return an opened render, with its scene-linear values if `deep`."""
    return (light.of_render(scene, opened[0]), opened[1]) if deep else opened


def _opened(image: bpy.types.Image, deep: bool) -> tuple[SourceLike, tuple[int, int]]:
    shown, size = images.open_image(image)
    return (light.of_image(image, shown) if deep else shown), size


def _file(path: str, names: Iterable[str], deep: bool) -> tuple[SourceLike, tuple[int, int]]:
    source = array_source(path, names)
    try:
        with open_plain(path) as file:
            data = file.read(HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None
    header = read_header(data)
    if header is not None and header.plain:
        return source, (header.width, header.height)
    if kept := deep_sources.size_of(data):  # a copy of a source that was restyled before
        return source, kept
    if what := no_picture(data):
        raise SourceUnusable(f"The file '{path}' is {what}, not a picture that can be read.",
                             "Export it as PNG or JPEG, or choose another one.")
    return _through_blender(path, deep)


def _through_blender(path: str, deep: bool) -> tuple[SourceLike, tuple[int, int]]:
    """Return a file of another format, such as EXR or 16-bit PNG, read by Blender."""
    try:
        image = bpy.data.images.load(path, check_existing=False)
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    try:
        if not any(image.size) and image.type == "IMAGE":  # its type is known once it is loaded
            raise _unreadable(path, ValueError("Blender read no pixels"))
        return _opened(image, deep)
    finally:
        bpy.data.images.remove(image)


def _read(path: str) -> Source:
    try:
        with open_plain(path) as file:
            return Source(encoded=file.read())
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> SourceUnusable:
    why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    hint = "Choose another source image." if why else ("It is damaged, or of a kind that Blender does not read. Save "
                                                       "it again as PNG.")
    return SourceUnusable(f"The file '{path}' cannot be read{why}.", hint, str(error))
