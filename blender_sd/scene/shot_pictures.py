"""Frames that are there already, as the PNGs of a shot: numbered files, or a movie."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bpy

from ..core.errors import SourceUnusable
from ..library import png
from ..library.frame_files import is_movie, with_frame
from . import movies, render_output

Pictures = Callable[[int], bytes | None]


@contextmanager
def opened_pictures(source: str, skip_broken: bool, note: Callable[[str], None]
                    ) -> Iterator[tuple[Pictures, tuple[int, int] | None]]:
    """Return a context with a function that returns the PNG of a frame, and the frame rate; None for none.

    The function raises SourceUnusable for a frame that cannot be read, and names it; with `skip_broken` it returns None
    and `note` receives their names.

    Args:
        source: A movie, or the pattern of files with #### for the frame's number.
        skip_broken: Whether broken frames are left out.
        note: Called with a sentence about each frame that is left out.
    """
    with _opened(source) as (read, fps):
        def picture(number: int) -> bytes | None:
            try:
                return read(number)
            except SourceUnusable as error:
                if not skip_broken:
                    raise
                note(f"{error.message} It was left out.")
                return None

        yield picture, fps


# ---- inside --------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(source: str) -> Iterator[tuple[Callable[[int], bytes], tuple[int, int] | None]]:
    if not is_movie(source):
        yield lambda number: _file(with_frame(source, number), number), None
        return
    with movies.decoded(source) as movie:
        yield movie.picture, movie.fps


def _file(path: str, number: int) -> bytes:
    """Return a picture as a PNG in display colours; a PNG as it is."""
    if not os.path.isfile(path):
        raise SourceUnusable(f"There is no file for frame {number}: {path}.", "Skip Broken Frames leaves frames out.")
    if path.lower().endswith(".png") and not png.is_whole(path):
        raise _broken(path, number, "its checksums are wrong")
    if path.lower().endswith(".png"):
        with open(path, "rb") as file:
            return file.read()
    image = None
    try:
        image = bpy.data.images.load(path, check_existing=False)
        if not image.size[0]:  # Blender reads the file here
            raise RuntimeError("no pixels")
        return render_output.as_png(image, bpy.context.scene, 16 if image.is_float else 8, standard=True)
    except (RuntimeError, OSError) as error:
        raise _broken(path, number, str(error)) from None
    finally:
        if image is not None:
            bpy.data.images.remove(image)


def _broken(path: str, number: int, why: str) -> SourceUnusable:
    return SourceUnusable(f"The file of frame {number} cannot be read: {path}.",
                          "Replace it; Skip Broken Frames leaves frames out.", why)
