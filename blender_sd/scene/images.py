"""Image datablocks: as sources of a request, and as its results."""
from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from functools import partial

import bpy
import numpy as np

from ..protocol import png
from ..protocol.errors import InvalidRequest, SourceUnusable
from ..protocol.messages import Result, Source
from ..protocol.request import Request
from . import compat, pixels, renders
from .encoded import HEADER_BYTES, Header, read_header

REQUEST_PROPERTY = png.REQUEST_KEY
MARK_PROPERTY = "ai_generated"
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # a PNG of one black pixel
MAX_NAME = 40  # characters; Blender keeps 63 bytes and needs some for ".001"
RENDERED = ("RENDER_RESULT", "COMPOSITING")  # `Image.type` of the Render Result and of the compositor's Viewer


def source_of(image: bpy.types.Image) -> Source | Callable[[], Source]:
    """The image as a source: what the texture itself holds, whatever the scene's view transform.

    An unpainted PNG or JPEG in sRGB travels as its own bytes and is never decoded on the main thread. All else is
    copied out of Blender here (about 3 ms at 1024²) and converted by the callable, which may run on any thread. Float
    images are converted with the sRGB curve and clipped; Non-Color ones are taken as they are; of a tiled image the
    first tile counts; with the alpha modes None and Channel Packed the result is opaque, since alpha is no cover there.
    Raises SourceUnusable where there are no pixels, or (from the callable) where the file cannot be read or pixels are
    NaN or infinite.
    """
    if image.type in RENDERED:
        return renders.as_shown(image, bpy.context.scene)
    found = _own_bytes(image)
    if found is not None:
        return found
    width, height = _loaded_size(image)
    settings = image.colorspace_settings
    is_float = image.is_float
    simple = settings.is_data or (compat.works_in_rec709() if is_float else settings.name == "sRGB")
    if not simple:  # only Blender's own colour management knows the way
        return renders.through_standard_view(image, bpy.context.scene)
    buffer = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(buffer)
    covered = image.alpha_mode in ("STRAIGHT", "PREMUL")
    convert = partial(pixels.from_buffer, buffer, width, height, image.channels, linear=is_float and not settings.is_data,
                      premultiplied=is_float and covered and not settings.is_data, opaque=not covered, name=image.name)
    return lambda: Source(pixels=convert())


def size_of(image: bpy.types.Image) -> tuple[int, int]:
    """(width, height) in pixels; of a tiled image, the first tile's. Decodes nothing where the file's header tells.
    Raises SourceUnusable where there are no pixels."""
    header = _header(image)
    return (header.width, header.height) if header else _loaded_size(image)


def load_result(result: Result, name: str = "") -> bpy.types.Image:
    """The finished picture as a new image datablock, packed, in sRGB, carrying its request. `name`: by default the prompt.

    Costs the main thread reading the file, not decoding it. The image has no user yet: `targets.place` gives it one.
    Raises SourceUnusable where the file is gone.
    """
    try:
        image = bpy.data.images.load(result.path, check_existing=False)
    except RuntimeError as error:
        raise SourceUnusable(f"The finished picture '{result.path}' cannot be read.", "Look whether the output folder is still there.",
                             str(error)) from None
    image.name = short_name(name or result.request.prompt)
    if image.colorspace_settings.name != "sRGB":
        image.colorspace_settings.name = "sRGB"
    image.pack()
    image[REQUEST_PROPERTY] = result.request.to_json()
    image[MARK_PROPERTY] = True
    return image


def picture_of(path: str | os.PathLike) -> bpy.types.Image | None:
    """The image datablock that was loaded from the finished picture at `path` and not painted on since, if there is one."""
    path = os.path.normpath(os.fspath(path))
    return next((image for image in bpy.data.images if image.source == "FILE" and REQUEST_PROPERTY in image and not image.is_dirty
                 and image.library is None and _path_of(image) == path), None)


def load_kept(path: str | os.PathLike) -> bpy.types.Image:
    """The copy of an input picture as an image datablock, packed; the one that is there, if it was loaded before. Raises
    SourceUnusable where it cannot be read."""
    try:
        image = bpy.data.images.load(os.fspath(path), check_existing=True)
        if not image.packed_file:
            image.pack()
    except RuntimeError as error:
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Choose another image.", str(error)) from None
    return image


def warm_up() -> None:
    """Makes Blender set up its picture readers now. The first file that a run of Blender loads costs the main thread 25 to
    110 ms more than all later ones; call this when the artist is not yet waiting for a picture. Leaves no trace."""
    with tempfile.TemporaryDirectory(prefix="blender_sd-") as folder:
        path = os.path.join(folder, "dot.png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(_DOT))
        bpy.data.images.remove(bpy.data.images.load(path))


def request_of(image: bpy.types.Image | str | os.PathLike) -> Request:
    """The settings that made `image`: from its custom property, else from the text in its PNG (packed or on disk).
    `image` may be the path of a PNG. Raises InvalidRequest where there are none."""
    if not isinstance(image, bpy.types.Image):
        return _request_in_file(os.fspath(image))
    stored = image.get(REQUEST_PROPERTY)
    if isinstance(stored, str):
        return Request.from_json(stored)
    if image.packed_file:
        return png.request_in(png.text_of(image.packed_file.data))
    if image.source == "FILE" and image.filepath_raw:
        return _request_in_file(_path_of(image))
    return png.request_in({})


def show_in_editor(image: bpy.types.Image) -> bool:
    """Shows `image` in an open Image Editor; whether there was one. One that shows a running render is left alone, and
    one that shows the Render Result is taken only where there is no other."""
    rendering = bpy.app.is_job_running("RENDER") if not bpy.app.background else False
    spaces = [space for space in editors() if not (rendering and space.image is not None and space.image.type in RENDERED)]
    if not spaces:
        return False
    space = min(spaces, key=lambda space: (space.use_image_pin, space.image is not None and space.image.type in RENDERED))
    space.image = image
    redraw("IMAGE_EDITOR")
    return True


def editors() -> list[bpy.types.SpaceImageEditor]:
    """The Image Editors that are open in any window (UV Editors are not among them)."""
    return [area.spaces.active for area in areas("IMAGE_EDITOR") if area.ui_type == "IMAGE_EDITOR"]


def areas(kind: str) -> list[bpy.types.Area]:
    """The open areas of that type, in all windows; none in background mode, where nobody sees them."""
    if bpy.app.background:
        return []
    return [area for window in bpy.context.window_manager.windows for area in window.screen.areas if area.type == kind]


def redraw(*kinds: str) -> None:
    """Has all open areas of these types drawn anew."""
    for kind in kinds:
        for area in areas(kind):
            area.tag_redraw()


def short_name(text: str) -> str:
    """`text` on one line, cut at a word where it is long; never empty."""
    text = " ".join(text.split())
    if len(text) > MAX_NAME:
        text = text[:MAX_NAME].rsplit(" ", 1)[0]
    return text or "SD"


# ---- inside --------------------------------------------------------------------------------------------------------


def file_of(image: bpy.types.Image) -> Source | str:
    """The image's file, whatever was painted since: its bytes where it is packed, else its path. Raises SourceUnusable for none."""
    if image.packed_file:
        return Source(encoded=image.packed_file.data)
    if image.source == "FILE" and image.filepath_raw:
        return _path_of(image)
    raise SourceUnusable(f"The image '{image.name}' has no file.", "Save it first, or choose one that was made with this add-on.")


def _own_bytes(image: bpy.types.Image) -> Source | Callable[[], Source] | None:
    """The image's file as a source, where the file is what is shown."""
    header = _header(image)
    if (header is None or not header.plain or image.colorspace_settings.name != "sRGB"
            or image.alpha_mode not in ("STRAIGHT", "CHANNEL_PACKED")):
        return None
    if image.alpha_mode == "CHANNEL_PACKED" and image.depth == 32:
        return None  # its alpha is data; the pixel path drops it
    if image.packed_file:
        return Source(encoded=image.packed_file.data)
    return partial(_read_file, _path_of(image), image.name)


def _header(image: bpy.types.Image) -> Header | None:
    """The header of the image's unpainted PNG or JPEG; None for all else, and where the file is gone."""
    if image.source != "FILE" or image.is_dirty or image.type in RENDERED:
        return None
    if image.packed_file:
        return read_header(image.packed_file.data)
    try:
        with open(_path_of(image), "rb") as file:
            return read_header(file.read(HEADER_BYTES))
    except OSError:
        return None  # Blender may still hold the pixels; if not, `_loaded_size` says so


def _loaded_size(image: bpy.types.Image) -> tuple[int, int]:
    width, height = image.size  # loads the image where it was not yet
    if not width or not height or not len(image.pixels):
        where = f" Its file '{_path_of(image)}' is missing or cannot be read." if image.source != "GENERATED" and image.filepath_raw else ""
        raise SourceUnusable(f"The image '{image.name}' has no pixels.{where}",
                             "Find the file (File ▸ External Data) or choose another image.")
    return width, height


def _path_of(image: bpy.types.Image) -> str:
    return os.path.normpath(bpy.path.abspath(image.filepath_raw, library=image.library))


def _read_file(path: str, name: str) -> Source:
    try:
        with open(path, "rb") as file:
            return Source(encoded=file.read())
    except OSError as error:
        raise SourceUnusable(f"The file of the image '{name}' cannot be read: {path}.", "Find it or choose another image.",
                             str(error)) from None


def _request_in_file(path: str) -> Request:
    try:
        return png.request_in(png.read_text(path))
    except OSError as error:
        raise InvalidRequest(f"The file '{path}' cannot be read.", "Choose one that was made with this add-on.", str(error)) from None
