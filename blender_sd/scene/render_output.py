"""Read images as a scene shows them, through its output settings, which are put back."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from ..library.png import bare
from . import compat

NO_VIEW = {"view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0, "use_curve_mapping": False,
           "use_white_balance": False}  # white balance: since 4.3
_VIEW = (*NO_VIEW, "white_balance_temperature", "white_balance_tint")


def as_png(image: bpy.types.Image, scene: bpy.types.Scene, bits: int, standard: bool) -> bytes:
    """Return `image` as a PNG in sRGB, RGBA with straight alpha, of so many `bits`, without Blender's notes in it.

    It goes through `scene`'s view transform, or through none (`standard`). Raises RuntimeError or OSError if it cannot
    be read.
    """
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder, _output_settings(
            scene, standard, "PNG", bits):
        return bare(_saved(image, scene, folder, ".png"))


def as_targa(image: bpy.types.Image, scene: bpy.types.Scene, standard: bool) -> bytes:
    """Return `image` as a Targa file; of a stereoscopic image, the first eye's."""
    with tempfile.TemporaryDirectory(prefix="blender_sd-",
                                     ignore_cleanup_errors=True) as folder, _output_settings(scene, standard):
        return _saved(image, scene, folder, ".tga")


def _saved(image: bpy.types.Image, scene: bpy.types.Scene, folder: str, ending: str) -> bytes:
    """Return the file that Blender writes of `image` into an empty folder; of a stereoscopic image, the first eye's."""
    try:
        image.save_render(os.path.join(folder, f"shown{ending}"), scene=scene)
    except RuntimeError:  # Blender also says so where it has written a file for each eye
        if not os.listdir(folder):
            raise
    names = [f"shown{suffix}{ending}" for suffix in ("", *(view.file_suffix for view in scene.render.views))]
    path = next((path for name in names if os.path.exists(path := os.path.join(folder, name))),
                os.path.join(folder, names[0]))
    with open(path, "rb") as file:
        return file.read()


@contextmanager
def _output_settings(scene: bpy.types.Scene, standard: bool, file_format: str = "TARGA_RAW",
                     bits: int = 8) -> Iterator[None]:
    """Return a context in which `scene`'s output is plain RGBA in sRGB, of so many `bits`.

    It goes through the scene's view transform, or through none (`standard`).
    """
    render, settings = scene.render, scene.render.image_settings
    # Switching to OVERRIDE copies the scene's settings over the artist's own, so never switch back and forth.
    override = standard or settings.color_management == "OVERRIDE" or scene.display_settings.display_device != "sRGB"
    names = ("views_format", "file_format", "color_mode", "color_depth", "color_management")
    before = [(render, values_of(render, ("dither_intensity",))), (settings, values_of(settings, names)),
              (settings.display_settings, values_of(settings.display_settings, ("display_device",))),
              (settings.view_settings, values_of(settings.view_settings, _VIEW))]
    media = compat.still_picture_settings(settings)
    try:
        set_values(settings, [("views_format", "INDIVIDUAL"), ("file_format", file_format), ("color_mode", "RGBA"),
                        ("color_depth", str(bits))])
        render.dither_intensity = 0.0
        if override:
            settings.color_management = "OVERRIDE"
            settings.display_settings.display_device = "sRGB"
            view = list(NO_VIEW.items()) if standard else values_of(scene.view_settings, _VIEW)
            set_values(settings.view_settings, view)
        yield
    finally:
        set_values(settings, media)
        for owner, values in before:
            set_values(owner, values)


def values_of(owner: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Return the properties of `owner`, of these names, with their values; those that this Blender lacks are left out.
    """
    return [(name, getattr(owner, name)) for name in names if hasattr(owner, name)]


def set_values(owner: Any, values: list[tuple[str, Any]]) -> None:
    """Set properties of `owner`, pairs of a name and a value; those that this Blender lacks are left out."""
    for name, value in values:
        if hasattr(owner, name):
            setattr(owner, name, value)
