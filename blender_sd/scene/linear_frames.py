"""Finished frames as OpenEXR files in scene-linear light, for compositing."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import bpy

from ..core.errors import JobCancelled, OutputUnwritable
from ..library import files
from . import compat


def write_linear(pictures: Sequence[str], folder: str, tell: Callable[[int], None],
                 cancelled: Callable[[], bool]) -> None:
    """Write pictures in sRGB as OpenEXR files, half float, in linear Rec. 709, under the same names into a folder.

    A file that is newer than its picture stays.

    Args:
        pictures: The files.
        folder: The folder, made if it is missing in an existing one.
        tell: Called with how many are done.
        cancelled: Whether to stop.

    Raises:
        OutputUnwritable: A file cannot be written.
        JobCancelled: It was cancelled.
    """
    scene = bpy.data.scenes.new("Stable Diffusion frames")
    settings = scene.render.image_settings
    scene.display_settings.display_device, scene.view_settings.view_transform = "sRGB", "Standard"
    compat.still_picture_settings(settings)
    settings.file_format, settings.exr_codec = "OPEN_EXR", "ZIP"
    settings.color_mode, settings.color_depth = "RGBA", "16"
    try:
        files.make_folder(folder)
        files.sweep(folder)  # what a killed process was writing
        for done, path in enumerate(pictures):
            if cancelled():
                raise JobCancelled("The job was cancelled.")
            tell(done)
            _write(path, os.path.join(folder, f"{os.path.splitext(os.path.basename(path))[0]}.exr"), scene)
    except (OSError, RuntimeError) as error:
        raise OutputUnwritable(f"The OpenEXR files cannot be written: {folder}.",
                               "Free some space, or choose another folder; the frames are there.",
                               str(error)) from None
    finally:
        bpy.data.scenes.remove(scene)


def _write(path: str, target: str, scene: bpy.types.Scene) -> None:
    if os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(path):
        return
    image = bpy.data.images.load(path, check_existing=False)
    fresh = files.temporary(target)
    try:
        image.save_render(fresh, scene=scene)
    finally:
        bpy.data.images.remove(image)
    files.replace(fresh, target)
