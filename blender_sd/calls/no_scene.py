"""Stand in for the package `scene` in a Python without Blender: files, arrays and PIL images are sources there, and
results are the files that the engine wrote. What needs a scene raises NeedsBlender.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import NeedsBlender, SDError, SourceUnusable
from ..core.names import closest, suggestion
from ..core.regions import MASK, Region
from ..core.request import Request
from ..library import embedded_texts, foreign_settings, png
from ..library.encoded import HEADER_BYTES, no_picture, read_header
from ..library.foreign_settings import ForeignSettings
from ..library.paths import open_plain
from ..protocol import light, picture_arrays
from ..protocol.messages import Outline, Result, Source

_OF_THE_SCENE = ("RENDER", "CAMERA", "VIEWPORT", "FACES")
_MOST = 1 << 27  # bytes of a file in which settings are looked for
_SCENE_KINDS = ("depth", "normal", "lines", "segmentation")

SourceLike = Source | Callable[[], Source]


def needs_blender(what: str) -> NeedsBlender:
    """Return the error for something that only Blender has."""
    return NeedsBlender(f"{what} needs Blender, which this Python lacks.",
                        "Run it in Blender: blender -b scene.blend --command sd …, or in a Python with bpy.")


# ---- what needs no scene ---------------------------------------------------------------------------------------------

def ask_marking(ask: Callable[[], bool]) -> None:
    """Do nothing: there are no datablocks to mark."""


def check_thread() -> None:
    """Do nothing: any thread may call."""


def check_turn(waiting: bool) -> None:
    """Do nothing: there is no render that waiting could block."""


def give_up() -> None:
    """Do nothing: no picture is waited for."""


def local_path(path: str | os.PathLike) -> str:
    """Return `path` as a whole one. Raises SourceUnusable if it begins with "//", at the folder of a .blend file."""
    path = os.fspath(path)
    if path.startswith("//") and not os.path.exists(path):
        raise SourceUnusable(f"The path '{path}' begins at the folder of the .blend file, but none is open.",
                             "Give the whole path.")
    return os.path.abspath(os.path.expanduser(path))


def open_source(source: Any, names: Sequence[str] = (), mattes: bool = False,
                deep: bool = False) -> tuple[SourceLike, tuple[int, int]]:
    """Return a path, an array or a PIL image as a source, and its (width, height) in pixels. `mattes` and
    `deep` are for pictures that Blender opens.

    Raises:
        NeedsBlender: It is a picture of the scene, or a file that only Blender reads.
        SourceUnusable: There is no such picture, or it cannot be read.
    """
    if isinstance(source, str) and source in _OF_THE_SCENE:
        raise needs_blender(f"The source '{source}'")
    if isinstance(source, (str, os.PathLike)):
        return _file(local_path(source), (*_OF_THE_SCENE, *names))
    if not picture_arrays.is_picture(source):
        raise SourceUnusable(f"A source cannot be made from {type(source).__name__}.",
                             "Give a path, an array or a PIL image.")
    made = Source(pixels=picture_arrays.pixels_of(source))
    assert made.pixels is not None  # as it was just made
    height, width = made.pixels.shape[:2]
    return made, (width, height)


def open_mask(mask: Any, size: tuple[int, int], masked: Any = None) -> SourceLike:
    """Return a mask as a source. Raises as `open_source` does."""
    return open_source(mask, ("ALPHA",))[0]


def check_regions(regions: Sequence[tuple[Region, Any]], source: Any) -> None:
    """Raise NeedsBlender for a region that is looked for in a scene."""
    for region, _ in regions:
        if region.kind != MASK:
            raise needs_blender(f"To find {region.label}")


def is_there(region: Region) -> bool:
    """Return whether a region needs no scene."""
    return region.kind == MASK


def open_regions(regions: Sequence[tuple[Region, Any]], source: Any, size: tuple[int, int],
                 render: Callable[[Outline], None] | None = None) -> list[SourceLike]:
    """Return the mask of each region as a source. Raises as `open_source` does."""
    return [open_mask(mask, size) for _, mask in regions]


def open_control(kind: str, image: Any, size: tuple[int, int], covers: tuple[int, int] | None = None) -> SourceLike:
    """Return a control's picture as a source. Raises as `open_source` does."""
    return open_source(image)[0]


def is_drawn(kind: str, image: Any) -> bool:
    """Return whether a control's picture is drawn from the scene's geometry."""
    return kind in _SCENE_KINDS and image in ("CAMERA", "VIEWPORT")


def request_of(picture: str | os.PathLike) -> Request:
    """Return the request in a PNG. Raises InvalidRequest if there is none."""
    return png.request_in(_texts(local_path(picture)))


def request_reader(picture: Any) -> Callable[[], Request]:
    """Return a function that reads the request in a picture's file; it raises InvalidRequest if there is none."""
    if isinstance(picture, (str, os.PathLike)):
        return partial(request_of, picture)
    return partial(png.request_in, {})


def foreign_settings_of(picture: str | os.PathLike) -> ForeignSettings | None:
    """Return the settings that another program wrote into a picture's file; None for none."""
    return foreign_settings.read(embedded_texts.texts_of(_bytes(local_path(picture))))


def text_named(name: str) -> str | None:
    """Return None: there is no text block."""
    return None


def text_names() -> tuple[str, ...]:
    """Return no names: there are no text blocks."""
    return ()


def new_image_target() -> None:
    """Return None: results stay files."""


def remarks(target: Any, source: Any) -> list[str]:
    """Return nothing: a file is replaced by nothing."""
    return []


def clipped_light(source: Any) -> str:
    """Return "": files with a wider range of light are not read here."""
    return ""


def commit(target: Any, results: Sequence[Result], label: str, placed: Callable[[Any], None]) -> list[Any]:
    """Return the results' files; the result itself where it could not be written."""
    return [Path(result.path) if result.path else result for result in results]


def hold(outputs: Sequence[Any]) -> list[Any]:
    """Return `outputs` as they are."""
    return list(outputs)


def recall(held: Sequence[Any], results: Sequence[Result]) -> list[Any]:
    """Return what `hold` was given."""
    return list(held)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise needs_blender("This call")


# ---- inside ----------------------------------------------------------------------------------------------------------

def _file(path: str, names: Sequence[str]) -> tuple[SourceLike, tuple[int, int]]:
    if os.path.isdir(path):
        raise SourceUnusable(f"'{path}' is a folder, not a picture.", "Give the path of a picture in it.")
    if not os.path.isfile(path):
        known = closest(os.path.basename(path), names)
        raise SourceUnusable(f"There is no file '{path}'.",
                             suggestion(path, known, "Check the path of the source image."))
    try:
        with open_plain(path) as file:
            data = file.read(HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None
    header = read_header(data)
    if header is not None and header.plain:
        return partial(_read, path), (header.width, header.height)
    if kept := light.size_of(data):
        return partial(_read, path), kept
    if what := no_picture(data):
        raise SourceUnusable(f"The file '{path}' is {what}, not a picture that can be read.",
                             "Export it as PNG or JPEG, or choose another one.")
    raise needs_blender(f"Reading '{os.path.basename(path)}' (no PNG, JPEG, GIF, AVIF or HEIC with 8 bits)")


def _read(path: str) -> Source:
    try:
        with open_plain(path) as file:
            return Source(encoded=file.read())
    except OSError as error:
        raise _unreadable(path, error) from None


def _bytes(path: str) -> bytes:
    with open_plain(path) as file:
        return file.read(_MOST)


def _texts(path: str) -> dict[str, str]:
    try:
        return png.read_text(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> SDError:
    return SourceUnusable(f"The file '{path}' cannot be read ({error.strerror or error}).",
                          "Choose another source image.", repr(error))
