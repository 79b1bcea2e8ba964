"""Image datablocks as sources of a request and as its results."""
from __future__ import annotations

import base64
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import bpy
import numpy as np

from ..core.errors import InvalidRequest, SourceUnusable
from ..core.request import Request
from ..library import png
from ..library.encoded import HEADER_BYTES, Header, read_header
from ..library.paths import open_plain
from ..protocol.messages import Result, Source
from . import compat, marks, pixels, renders, tiles
from .image_paths import guarded_path, path_of
from .marks import REQUEST_PROPERTY
from .replacing import nodes_with
from .screens import RENDERED

# A PNG of one black pixel
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
_STARTED = time.time()
_OF_MANY = ("SEQUENCE", "TILED")  # image sources that hold several pictures
MAX_NAME = 40  # characters; Blender keeps 63 bytes and needs some for ".001"


def source_of(image: bpy.types.Image) -> Source | Callable[[], Source]:
    """Return the image as a source: the texture's own pixels, whatever the scene's view transform.

    An unpainted PNG, JPEG or WebP in sRGB travels as its own bytes and is never decoded on the main thread. All else
    is copied out of Blender here (about 3 ms at 1024²) and converted by the returned function, on any thread. Float
    images are converted with the sRGB curve and clipped; Non-Color images are used unchanged; of a tiled image the
    active tile counts. With the alpha modes None and Channel Packed the result is opaque, since alpha is no cover
    there.

    Raises:
        SourceUnusable: There are no pixels; from the function: the file cannot be read, or pixels are NaN or infinite.
    """
    if image.type in RENDERED:
        return renders.as_shown(image, bpy.context.scene)
    if image.source in _OF_MANY:
        return _of_part(image, source_of)
    return _source(image, changed_on_disk(image))


def size_of(image: bpy.types.Image) -> tuple[int, int]:
    """Return (width, height) in pixels; of a tiled image, the active tile's. Decodes nothing if the file's header is
    enough.

    Raises:
        SourceUnusable: There are no pixels.
    """
    if image.source in _OF_MANY:
        return _of_part(image, size_of)
    return _size(image, changed_on_disk(image))


def open_image(image: bpy.types.Image) -> tuple[Source | Callable[[], Source], tuple[int, int]]:
    """Return `source_of` and `size_of` of an image that is no render, comparing it with its file only once."""
    if image.source in _OF_MANY:
        return _of_part(image, open_image)
    changed = changed_on_disk(image)
    return _source(image, changed), _size(image, changed)


def changed_on_disk(image: bpy.types.Image) -> bool:
    """Return whether the image's file holds another picture than the one that Blender has read from it and shows.

    Files that are older than this run of Blender are not opened.
    """
    if image.source != "FILE" or image.packed_file or image.is_dirty or not image.has_data or not image.filepath_raw:
        return False
    try:
        path = guarded_path(image)
        if not os.path.isfile(path) or os.path.getmtime(path) < _STARTED:
            return False
        other = bpy.data.images.load(path, check_existing=False)
    except (OSError, RuntimeError, SourceUnusable):
        return False
    try:
        other.colorspace_settings.name, other.alpha_mode = image.colorspace_settings.name, image.alpha_mode
        return tuple(other.size) != tuple(image.size) or not np.array_equal(_buffer(other), _buffer(image))
    finally:
        bpy.data.images.remove(other)


def load_result(result: Result, name: str = "") -> bpy.types.Image:
    """Return a finished picture as a new image datablock, packed, in its colour space, with its request and
    marks.

    On the main thread this reads the file but decodes nothing; a picture without a file is encoded here. The image has
    no user yet: `targets.place` gives it one.

    Args:
        result: The finished picture.
        name: The datablock's name; by default from the prompt.

    Raises:
        SourceUnusable: The file is gone.
    """
    name = short_name(name or result.request.prompt)
    image = _from_file(result.path, name) if result.path else _from_pixels(result.pixels, name)
    if image.colorspace_settings.name != result.colour_space:
        image.colorspace_settings.name = result.colour_space
    image.pack()
    ending = os.path.splitext(result.path)[1] or ".png"
    if image.packed_files:  # unpacking writes to this path; the seed keeps it unique
        image.packed_files[0].filepath = f"//textures/{bpy.path.clean_name(image.name)}_{result.request.seed}{ending}"
    marks.mark_loaded(image, marks.result_facts(result))
    return image


def picture_of(path: str | os.PathLike) -> bpy.types.Image | None:
    """Return the image datablock that was loaded from the picture at `path` and not painted on since, or None."""
    path = os.path.normpath(os.fspath(path))
    return next((image for image in bpy.data.images if image.source == "FILE" and REQUEST_PROPERTY in image
                 and not image.is_dirty
                 and image.library is None and path_of(image) == path), None)


def load_kept(path: str | os.PathLike) -> bpy.types.Image:
    """Return the copy of an input picture as an image datablock, packed, with its marks if it is a picture of ours.

    One that was loaded before is returned again.

    Raises:
        SourceUnusable: The file cannot be read.
    """
    try:
        image = bpy.data.images.load(os.fspath(path), check_existing=True)
        if not image.packed_file:
            image.pack()
    except RuntimeError as error:
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Choose another image.", str(error)) from None
    marks.mark_loaded(image, marks.file_facts(path))
    return image


def warm_up() -> None:
    """Make Blender set up its picture readers now. Leaves no trace.

    The first file that a run of Blender loads costs the main thread 25 to 110 ms more than all later ones; call this
    while the artist is not yet waiting for a picture.
    """
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "dot.png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(_DOT))
        bpy.data.images.remove(bpy.data.images.load(path))


def request_of(image: bpy.types.Image | str | os.PathLike) -> Request:
    """Return the settings that made a picture: from its custom property, or from the text in its PNG.

    Args:
        image: An image datablock, or the path of a PNG.

    Raises:
        InvalidRequest: There are no settings.
    """
    return request_reader(image)()


def local_path(path: str | os.PathLike) -> str:
    """Return `path` as the system knows it: a leading "//" is the folder of the open .blend file.

    Raises:
        SourceUnusable: The file was never saved.
    """
    path = os.fspath(path)
    if not path.startswith("//") or os.path.exists(path):
        return path
    if not bpy.data.filepath:
        raise SourceUnusable(f"The path '{path}' begins at the folder of the .blend file, which was never saved.",
                             "Save it first, or give the whole path.")
    return os.path.normpath(bpy.path.abspath(path))


def request_reader(image: Any) -> Callable[[], Request]:
    """Return a function that does what `request_of` does, on any thread, since it may have to read a file.

    Other pictures, such as arrays, have no settings.
    """
    if isinstance(image, (str, os.PathLike)):
        return partial(_request_in_file, local_path(image))
    if not isinstance(image, bpy.types.Image):
        return partial(png.request_in, {})
    stored = image.get(REQUEST_PROPERTY)
    if isinstance(stored, str):
        return partial(Request.from_json, stored)
    if image.packed_file:
        data = image.packed_file.data
        return lambda: png.request_in(png.text_of(data))
    if image.source == "FILE" and image.filepath_raw:
        try:
            return partial(_request_in_file, guarded_path(image))
        except SourceUnusable:
            pass  # a file that may not be opened has no settings
    return partial(png.request_in, {})


def short_name(text: str) -> str:
    """Return `text` on one line, shortened at a word if it is long; never empty."""
    text = " ".join(text.split())
    if len(text) > MAX_NAME:
        text = text[:MAX_NAME].rsplit(" ", 1)[0]
    return text or "SD"


def _source(image: bpy.types.Image, changed: bool) -> Source | Callable[[], Source]:
    kept = None if changed else _own_bytes(image)
    if kept is not None:
        return kept
    width, height = _loaded_size(image)
    settings = image.colorspace_settings
    is_float = image.is_float
    simple = settings.is_data or (compat.works_in_rec709() if is_float else settings.name == "sRGB")
    if not simple:  # only Blender's own colour management can convert it
        return renders.through_standard_view(image, bpy.context.scene)
    buffer = _buffer(image)
    covered = image.alpha_mode in ("STRAIGHT", "PREMUL")
    convert = partial(pixels.from_buffer, buffer, width, height, image.channels,
                      linear=is_float and not settings.is_data,
                      premultiplied=is_float and covered and not settings.is_data, opaque=not covered, name=image.name)
    return lambda: Source(pixels=convert())


def _size(image: bpy.types.Image, changed: bool) -> tuple[int, int]:
    header = None if changed else _header(image)
    return (header.width, header.height) if header else _loaded_size(image)


def file_of(image: bpy.types.Image) -> Source | str:
    """Return the image's file, whatever was painted since: its bytes if it is packed, else its path.

    Raises:
        SourceUnusable: It has no file.
    """
    if image.packed_file:
        return Source(encoded=image.packed_file.data)
    if image.source == "FILE" and image.filepath_raw:
        return guarded_path(image)
    raise SourceUnusable(f"The image '{image.name}' has no file.",
                         "Save it first, or choose one that was made with this add-on.")


def _from_file(path: str, name: str) -> bpy.types.Image:
    try:
        image = bpy.data.images.load(path, check_existing=False)
    except RuntimeError as error:
        raise SourceUnusable(f"The finished picture '{path}' cannot be read.",
                             "Look whether the output folder is still there.",
                             str(error)) from None
    image.name = name
    return image


def _from_pixels(values: np.ndarray, name: str) -> bpy.types.Image:
    height, width = values.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=True)
    image.pixels.foreach_set((values[::-1].astype(np.float32) / 255).ravel())
    image.update()
    return image


def _own_bytes(image: bpy.types.Image) -> Source | Callable[[], Source] | None:
    """Return the image's file as a source if the file is exactly what is shown, else None."""
    header = _header(image)
    if (header is None or not header.plain or image.colorspace_settings.name != "sRGB"
            or image.alpha_mode not in ("STRAIGHT", "CHANNEL_PACKED")):
        return None
    if image.alpha_mode == "CHANNEL_PACKED" and image.channels == 4:
        return None  # its alpha is data, which conversion from pixels drops
    if image.packed_file:
        return Source(encoded=image.packed_file.data)
    return partial(_read_file, guarded_path(image), image.name)


def _header(image: bpy.types.Image) -> Header | None:
    """Return the header of the image's unpainted file (see `encoded`); None if it has none that tells, or is gone."""
    if image.source != "FILE" or image.is_dirty or image.type in RENDERED:
        return None
    if image.packed_file:
        return read_header(image.packed_file.data)
    try:
        with open_plain(guarded_path(image)) as file:
            return read_header(file.read(HEADER_BYTES))
    except (OSError, SourceUnusable):
        return None  # Blender may still have the pixels; if not, `_loaded_size` raises


def _of_part(image: bpy.types.Image, ask: Callable[[bpy.types.Image], Any]) -> Any:
    """Return what `ask` returns for the picture that counts: an image sequence's frame, a tiled image's active tile."""
    if image.source == "SEQUENCE":
        return _of_frame(image, ask)
    with tiles.tile_of(image, tiles.active(image)) as still:
        return ask(still)


def _of_frame(image: bpy.types.Image, ask: Callable[[bpy.types.Image], Any]) -> Any:
    """Return what `ask` returns for the file that the image sequence shows in the current frame. Raises SourceUnusable.
    """
    number = _frame_number(image)
    folder, name = os.path.split(guarded_path(image))
    digits = re.search(r"\d+(?=[^\d]*$)", os.path.splitext(name)[0])
    if digits is None:
        raise SourceUnusable(f"The image sequence '{image.name}' has no number in its file's name.",
                             "Choose another image.")
    path = os.path.join(folder, f"{name[: digits.start()]}{number:0{len(digits[0])}d}{name[digits.end() :]}")
    try:
        still = bpy.data.images.load(path, check_existing=False)
    except RuntimeError as error:
        raise SourceUnusable(f"The image sequence '{image.name}' has no file for its frame {number}: {path}.",
                             "Go to a frame that it has, or find the file (File ▸ External Data).",
                             str(error)) from None
    try:
        still.colorspace_settings.name, still.alpha_mode = image.colorspace_settings.name, image.alpha_mode
        return ask(still)
    finally:
        bpy.data.images.remove(still)


def _frame_number(image: bpy.types.Image) -> int:
    """Return the number of the file that the image sequence shows now, according to the image node that uses it."""
    frame = bpy.context.scene.frame_current
    _, node = next(nodes_with(image), (None, None))
    return frame if node is None else _shown_frame(frame, node.image_user)


def _shown_frame(frame: int, user: bpy.types.ImageUser) -> int:
    """Return a frame's number as Blender's BKE_image_user_frame_get does."""
    place = frame - user.frame_start + 1
    if user.use_cyclic:
        place = (place - 1) % max(1, user.frame_duration) + 1
    return min(max(place, 1), max(1, user.frame_duration)) + user.frame_offset


def _buffer(image: bpy.types.Image) -> np.ndarray:
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values


def _loaded_size(image: bpy.types.Image) -> tuple[int, int]:
    if image.source == "MOVIE":
        raise SourceUnusable(f"'{image.name}' is a movie, not a picture.",
                             "Save the frame as an image (Image ▸ Save As), and use that.")
    width, height = image.size  # loads the image where it was not yet
    if image.type == "MULTILAYER":
        raise SourceUnusable(f"'{image.name}' is a multilayer EXR, which holds several pictures.",
                             "Save the layer that you mean as an image of its own (Image ▸ Save As), and use that.")
    if not width or not height or not len(image.pixels):
        has_file = image.source != "GENERATED" and image.filepath_raw
        where = f" Its file '{path_of(image)}' is missing or cannot be read." if has_file else ""
        raise SourceUnusable(f"The image '{image.name}' has no pixels.{where}",
                             "Find the file (File ▸ External Data) or choose another image.")
    return width, height


def _read_file(path: str, name: str) -> Source:
    try:
        with open_plain(path) as file:
            return Source(encoded=file.read())
    except OSError as error:
        raise SourceUnusable(f"The file of the image '{name}' cannot be read: {path}.",
                             "Find it or choose another image.",
                             str(error)) from None


def _request_in_file(path: str) -> Request:
    try:
        return png.request_in(png.read_text(path))
    except OSError as error:
        raise InvalidRequest(f"The file '{path}' cannot be read.", "Choose one that was made with this add-on.",
                             str(error)) from None
