"""Movies, read and written by Blender's own FFmpeg through the Sequencer. It renders, so it belongs into a Blender
without a window.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction

import bpy

from ..core.errors import OutputUnwritable, SourceUnusable
from ..library import files
from . import compat, handlers, renders

_CONTAINERS = {".mp4": "MPEG4", ".mov": "QUICKTIME", ".mkv": "MKV"}
_RATES = 1001  # the largest denominator of a frame rate


@dataclass(frozen=True)
class Movie:
    """A movie that is being read.

    Attributes:
        size: (width, height) in pixels.
        frames: The number of frames; they count from 1.
        fps: Frames in a number of seconds.
    """

    size: tuple[int, int]
    frames: int
    fps: tuple[int, int]
    path: str
    scene: bpy.types.Scene

    def picture(self, number: int) -> bytes:
        """Return a frame as a PNG of 8 bits. Raises SourceUnusable if the movie has no such frame."""
        if not 1 <= number <= self.frames:
            raise SourceUnusable(f"The movie has {self.frames} frames, and no frame {number}: {self.path}.",
                                 "Choose frames that it has.")
        try:
            with handlers.quiet(), _at_frame(number):
                bpy.ops.render.render(scene=self.scene.name)
            return renders.as_rendered_png(8, self.scene)
        except (RuntimeError, OSError) as error:
            raise SourceUnusable(f"Frame {number} of the movie cannot be read: {self.path}.", "Choose another movie.",
                                 str(error)) from None


def facts_of(path: str) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """Return a movie's (width, height), its number of frames and its frame rate. Raises SourceUnusable."""
    clip = None
    try:
        clip = bpy.data.movieclips.load(path)
        width, height = clip.size
        if not width or clip.frame_duration < 1 or not clip.fps > 0:
            raise RuntimeError("no frames")
        rate = Fraction(clip.fps).limit_denominator(_RATES)
        return (width, height), clip.frame_duration, (rate.numerator, rate.denominator)
    except RuntimeError as error:
        raise SourceUnusable(f"The movie cannot be read: {path}.", "Choose another one, or a folder of frames.",
                             str(error)) from None
    finally:
        if clip is not None:
            bpy.data.movieclips.remove(clip)


@contextmanager
def decoded(path: str) -> Iterator[Movie]:
    """Return a context in which a movie's frames can be read. Raises SourceUnusable if Blender cannot read it."""
    size, count, fps = facts_of(path)
    with _sequencer(size, fps) as (scene, strips):
        try:
            strips.new_movie("movie", path, 1, 1, fit_method="ORIGINAL")
        except RuntimeError as error:
            raise SourceUnusable(f"The movie cannot be read: {path}.", "Choose another one.", str(error)) from None
        yield Movie(size, count, fps, path, scene)


def encode(pictures: Sequence[str], movie: str, fps: tuple[int, int], sound: str = "", offset: int = 0,
           fresh: str = "") -> bool:
    """Write a movie of pictures, H.264 with AAC, complete or not at all.

    Args:
        pictures: The files of the frames, in their order; of one size.
        movie: The file to write; its folder exists.
        fps: Frames in a number of seconds.
        sound: A file whose sound it gets; "" for none.
        offset: Where in that file the first picture lies, in frames.
        fresh: Where it is written until it is complete, in the same folder; "" for a name of its own.

    Returns:
        Whether it has the sound.

    Raises:
        OutputUnwritable: It cannot be written.
        SourceUnusable: The first picture cannot be read.
    """
    container = _CONTAINERS.get(os.path.splitext(movie)[1].lower())
    if container is None:
        raise OutputUnwritable(f"A movie cannot be written as '{os.path.basename(movie)}'.",
                               f"Use one of the endings {', '.join(_CONTAINERS)}.")
    fresh = fresh or files.temporary(movie)
    with _sequencer(_size_of(pictures[0]), fps) as (scene, strips):
        _show(strips, pictures)
        heard = bool(sound) and _add_sound(strips, sound, offset)
        scene.frame_start, scene.frame_end = 1, len(pictures)
        _write_as(scene, container, fresh, heard)
        try:
            bpy.ops.render.render(animation=True, scene=scene.name)
            files.replace(fresh, movie)
        except (RuntimeError, OSError) as error:
            with suppress(OSError):
                files.remove(fresh)
            raise OutputUnwritable(f"The movie cannot be written: {movie}.",
                                   "Free some space, or choose another folder; the frames are there.",
                                   str(error)) from None
    return heard


# ---- inside --------------------------------------------------------------------------------------------------------


@contextmanager
def _sequencer(size: tuple[int, int], fps: tuple[int, int]) -> Iterator[tuple[bpy.types.Scene, bpy.types.bpy_struct]]:
    """Return a context with a new scene that renders its strips at `size` in display colours, and those strips."""
    scene = bpy.data.scenes.new("Stable Diffusion movie")
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.fps, render.fps_base = round(fps[0] / fps[1]), round(fps[0] / fps[1]) * fps[1] / fps[0]
    render.use_sequencer, render.use_compositing, render.dither_intensity = True, False, 0.0
    scene.display_settings.display_device, scene.view_settings.view_transform = "sRGB", "Standard"
    scene.sequencer_colorspace_settings.name = "sRGB"
    try:
        yield scene, compat.strips_of(scene)
    finally:
        bpy.data.scenes.remove(scene)


@contextmanager
def _at_frame(number: int) -> Iterator[None]:
    """Return a context in which a render of any scene is of frame `number`: it takes that from the context's scene."""
    current = bpy.context.scene
    before = current.frame_current
    current.frame_current = number
    try:
        yield
    finally:
        current.frame_current = before


def _show(strips: bpy.types.bpy_struct, pictures: Sequence[str]) -> None:
    """Add a strip for each run of pictures in one folder: a strip's pictures lie in one."""
    start, folder, strip = 1, None, None
    for number, path in enumerate(pictures, 1):
        if os.path.dirname(path) != folder:
            folder, start = os.path.dirname(path), number
            strip = strips.new_image("frames", path, 1, start, fit_method="ORIGINAL")
        else:
            strip.elements.append(os.path.basename(path))


def _add_sound(strips: bpy.types.bpy_struct, sound: str, offset: int) -> bool:
    try:
        strips.new_sound("sound", sound, 2, 1 - offset)
    except RuntimeError:  # it has none, or this Blender is built without sound
        return False
    return True


def _write_as(scene: bpy.types.Scene, container: str, path: str, heard: bool) -> None:
    render = scene.render
    compat.movie_settings(render.image_settings)
    render.ffmpeg.format, render.ffmpeg.codec = container, "H264"
    render.ffmpeg.constant_rate_factor, render.ffmpeg.gopsize = "PERC_LOSSLESS", 12
    render.ffmpeg.audio_codec = "AAC" if heard else "NONE"
    render.filepath, render.use_file_extension = path, False


def _size_of(path: str) -> tuple[int, int]:
    try:
        image = bpy.data.images.load(path, check_existing=False)
    except RuntimeError as error:
        raise SourceUnusable(f"A frame cannot be read: {path}.", "Make it again.", str(error)) from None
    try:
        return image.size[0], image.size[1]
    finally:
        bpy.data.images.remove(image)
