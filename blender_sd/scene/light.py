"""Sources of high depth for pictures whose regions are kept: OpenEXR images, 16-bit files, and renders that the scene
would write as OpenEXR.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import bpy
import numpy as np

from ..protocol import exr_files, light
from ..protocol.messages import Source
from . import compat, pixels, render_output, renders
from .screens import RENDERED

Opened = Source | Callable[[], Source]
_EXR = ("OPEN_EXR", "OPEN_EXR_MULTILAYER")
_WHOLE_NUMBERS = ("PNG", "TIFF")  # formats whose float images come from 16 bits


def of_image(image: bpy.types.Image, shown: Opened) -> Opened:
    """Return `shown`, an opened image, with the image's own values where they have more than 8 bits."""
    if (image.type in RENDERED or not image.is_float or image.source not in ("FILE", "GENERATED")
            or image.colorspace_settings.is_data or not compat.works_in_rec709() or image.channels not in (3, 4)):
        return shown
    opaque = image.alpha_mode not in ("STRAIGHT", "PREMUL")
    bits = light.SIXTEEN if image.source == "FILE" and image.file_format in _WHOLE_NUMBERS else light.FLOAT
    as_stored = bits == light.SIXTEEN and not image.is_dirty and image.colorspace_settings.name == "sRGB"
    values = _stored(image) if as_stored else _values(image)
    height, width = values.shape[:2]

    def whole() -> Source:
        full = np.ones((height, width, 4), np.float32)
        full[..., :3] = values[..., :3]
        if values.shape[2] == 4 and not opaque:
            full[..., 3] = values[..., 3]
        if bits == light.SIXTEEN and not as_stored:
            alpha = full[..., 3:]
            full[..., :3] = pixels.srgb_from_linear(np.divide(full[..., :3], alpha, out=full[..., :3].copy(),
                                                              where=alpha > 0))
        return _with(shown, full, None, bits)

    return whole


def of_map(image: bpy.types.Image, shown: Opened) -> Opened:
    """Return `shown`, an opened Non-Color image, with the values that it holds where they have more than 8 bits."""
    if not image.is_float:
        return shown
    values = _values(image)

    def whole() -> Source:
        full = np.ones((*values.shape[:2], 4), np.float32)
        full[..., :3] = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
        return _with(shown, full, None, light.SIXTEEN)

    return whole


def of_render(scene: bpy.types.Scene, shown: Opened) -> Opened:
    """Return `shown`, the Render Result as displayed, with its scene-linear values where `scene` writes OpenEXR."""
    if scene.render.image_settings.file_format not in _EXR or not compat.works_in_rec709():
        return shown
    image = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    if image is None:
        return shown
    data = _combined(image, scene)
    view = None if _is_plain(scene) else _view(scene)

    def whole() -> Source:
        channels = exr_files.read_passes(data).channels
        first = channels["R"]
        full = np.stack([channels.get(name, np.ones_like(first)) for name in "RGBA"], -1).astype(np.float32)
        return _with(shown, full, view() if view is not None else None, light.FLOAT)

    return whole


def _values(image: bpy.types.Image) -> np.ndarray:
    """Return an image's own values, H×W×channels float32, row 0 on top."""
    width, height = image.size
    buffer = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(buffer)
    return buffer.reshape(height, width, image.channels)[::-1]


def _stored(image: bpy.types.Image) -> np.ndarray:
    """Return the values in an image's file, as `_values` does: without the way to scene-linear light and back, which
    would change the last of 16 bits."""
    copy = image.copy()
    try:
        copy.colorspace_settings.name, copy.alpha_mode = "Non-Color", "CHANNEL_PACKED"
        return _values(copy)
    finally:
        bpy.data.images.remove(copy)


def _with(shown: Opened, values: np.ndarray, view: np.ndarray | None, bits: int) -> Source:
    """Return one source of both; the displayed picture alone where they do not fit together."""
    picture = shown() if callable(shown) else shown
    if picture.pixels is None or picture.pixels.shape != values.shape or not np.isfinite(values).all():
        return picture
    return Source(encoded=light.encoded(light.Light(values, picture.pixels, view, bits)))


def _combined(image: bpy.types.Image, scene: bpy.types.Scene) -> bytes:
    """Return the Render Result's combined picture as an OpenEXR file, without the view transform."""
    settings = scene.render.image_settings
    before = {name: getattr(settings, name) for name in ("file_format", "color_mode", "color_depth", "exr_codec")}
    media = compat.still_picture_settings(settings)
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "light.exr")
        try:
            settings.file_format, settings.color_mode = "OPEN_EXR", "RGBA"
            settings.color_depth, settings.exr_codec = "32", "NONE"
            image.save_render(path, scene=scene)
        finally:
            for name, value in (*media, *before.items()):
                setattr(settings, name, value)
        with open(path, "rb") as file:
            return file.read()


def _is_plain(scene: bpy.types.Scene) -> bool:
    """Return whether renders are displayed by sRGB's curve alone."""
    view = scene.view_settings
    return scene.display_settings.display_device == "sRGB" and (
        scene.render.image_settings.color_management != "OVERRIDE") and all(
        getattr(view, name) == value for name, value in render_output.NO_VIEW.items() if hasattr(view, name))


def _view(scene: bpy.types.Scene) -> Callable[[], np.ndarray]:
    """Return a function, for any thread, that returns how the scene's view transform displays `light.samples()`."""
    axis = light.samples()
    side = len(axis)
    cube = np.ones((side, side, side, 4), np.float32)
    cube[..., 0], cube[..., 1], cube[..., 2] = np.meshgrid(axis, axis, axis, indexing="ij")
    image = bpy.data.images.new("blender_sd view", side * side, side, alpha=False, float_buffer=True)
    try:
        image.colorspace_settings.name = "Linear Rec.709"
        image.use_view_as_render = True
        image.pixels.foreach_set(cube.reshape(side, side * side, 4)[::-1].ravel())
        shown = renders.as_shown(image, scene)
    finally:
        bpy.data.images.remove(image)
    return lambda: shown().pixels[..., :3].reshape(side, side, side, 3)
