"""Sources that are pictures of the scene, as shown: Render Result and camera.

A result comes back as an sRGB image, which Blender shows without the scene's view transform. So a source must be what
the artist saw: pixels *after* the view transform. Then strength 0 shows the same picture again, whatever the transform.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from ..protocol.errors import SourceUnusable
from ..protocol.messages import Source
from . import compat, pixels

_NO_VIEW = {"view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0, "use_curve_mapping": False,
            "use_white_balance": False}  # white balance: since 4.3
_VIEW = (*_NO_VIEW, "white_balance_temperature", "white_balance_tint")
_POLL = 0.05  # seconds between looks at a running render
_NO_RENDER = ("There is no Render Result yet.", "Render the scene first (F12), or choose Camera as the source.")


def render_result_source(scene: bpy.types.Scene) -> Callable[[], Source]:
    """The Render Result through `scene`'s view transform, as the Image Editor shows it, with straight alpha.

    Blender's own colour management writes it into memory-cached uncompressed Targa (about 0.1 s at 1024²; no Python
    interface to it is quicker), without dithering, since noise would not survive being encoded twice. The callable
    turns the bytes into pixels, on any thread. Raises SourceUnusable where nothing was rendered yet.
    """
    return as_shown(_render_result(), scene)


def render_result_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """(width, height) that the camera's render of `scene` has, in pixels."""
    render = scene.render
    return tuple(max(1, side * render.resolution_percentage // 100) for side in (render.resolution_x, render.resolution_y))


def as_shown(image: bpy.types.Image, scene: bpy.types.Scene) -> Callable[[], Source]:
    """`image` as the Image Editor shows it in `scene`: the Render Result (and images set to "View as Render") through the
    scene's view transform, all others without one. Raises SourceUnusable where there are no pixels."""
    if image.use_view_as_render:
        return _written(image, scene, standard=False)
    return through_standard_view(image, scene)


def through_standard_view(image: bpy.types.Image, scene: bpy.types.Scene) -> Callable[[], Source]:
    """`image` from its own colour space to sRGB, with no look or tone mapping. `scene` only lends its output settings,
    which are set back."""
    return _written(image, scene, standard=True)


def render_camera(scene: bpy.types.Scene, size: tuple[int, int] | None = None) -> Callable[[], Source]:
    """Renders `scene` from its camera now, waits, and gives the result as shown. For scripts: it blocks Blender.
    `size`: (width, height) in pixels instead of the scene's own. Raises SourceUnusable without a camera."""
    check_camera(scene)
    before = _values(scene.render, ("resolution_x", "resolution_y", "resolution_percentage"))
    try:
        if size is not None:
            _set(scene.render, [("resolution_x", size[0]), ("resolution_y", size[1]), ("resolution_percentage", 100)])
        _render(scene)
    finally:
        _set(scene.render, before)
    return render_result_source(scene)


def check_camera(scene: bpy.types.Scene) -> None:
    """Raises SourceUnusable where `scene` has no camera to render from."""
    if scene.camera is None:
        raise SourceUnusable(f"The scene '{scene.name}' has no camera.", "Add one (Add ▸ Camera), or choose another source.")


def start_camera_render(scene: bpy.types.Scene, on_done: Callable[[], None], on_cancel: Callable[[], None]) -> None:
    """Starts a render of `scene` that leaves the interface usable. Exactly one of `on_done()` and `on_cancel()` is called
    later on the main thread, outside the render (from a timer; in background mode before this returns). After `on_done`
    the picture is `render_result_source(scene)`. Raises SourceUnusable without a camera, or where Blender is rendering already.
    """
    check_camera(scene)
    if not bpy.app.background and bpy.app.is_job_running("RENDER"):
        raise SourceUnusable("Blender is rendering already.", "Wait for it, or cancel it.")
    watch = _Watch(on_done, on_cancel)
    view = bpy.context.preferences.view
    display, dirty = view.render_display_type, bpy.context.preferences.is_dirty
    try:
        view.render_display_type = "NONE"  # the artist asked for a source, not for another window
        bpy.ops.render.render("INVOKE_DEFAULT", scene=scene.name)
    except RuntimeError as error:
        watch.remove()
        raise _failed(error) from None
    finally:
        view.render_display_type = display
        bpy.context.preferences.is_dirty = dirty
    if bpy.app.background:  # timers never run there, and the render is over
        watch.end()
    else:
        bpy.app.timers.register(watch.poll, first_interval=_POLL, persistent=True)


def set_camera_background(image: bpy.types.Image, camera: bpy.types.Object) -> None:
    """Shows `image` behind the scene when looking through `camera`; a former one of ours is replaced.
    The caller has checked that `camera` is an editable camera object."""
    data = camera.data
    ours = next((shown for shown in data.background_images if shown.image is not None and "blender_sd" in shown.image), None)
    shown = ours or data.background_images.new()
    shown.source = "IMAGE"
    shown.image = image
    shown.alpha = 1.0
    shown.frame_method = "FIT"
    shown.show_background_image = True
    data.show_background_images = True


# ---- inside --------------------------------------------------------------------------------------------------------


class _Watch:
    """Waits for one render to end. Blender's handlers run on the render's own thread, so they only take a note; a timer on
    the main thread reads it. That also ends the wait where neither handler was ever called."""

    def __init__(self, on_done: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        self._on_done, self._on_cancel = on_done, on_cancel
        self._done = False
        # persistent: a file that is opened meanwhile cancels the render
        self._complete = bpy.app.handlers.persistent(lambda *_: setattr(self, "_done", True))
        bpy.app.handlers.render_complete.append(self._complete)

    def poll(self) -> float | None:
        if bpy.app.is_job_running("RENDER"):
            return _POLL
        self.end()
        return None

    def end(self) -> None:
        self.remove()
        (self._on_done if self._done else self._on_cancel)()

    def remove(self) -> None:
        if self._complete in bpy.app.handlers.render_complete:
            bpy.app.handlers.render_complete.remove(self._complete)


def _render(scene: bpy.types.Scene) -> None:
    try:
        bpy.ops.render.render(scene=scene.name)
    except RuntimeError as error:
        raise _failed(error) from None


def _failed(error: RuntimeError) -> SourceUnusable:
    return SourceUnusable(f"Blender could not render: {str(error).strip().removeprefix('Error: ')}", "Look at the render settings.")


def _render_result() -> bpy.types.Image:
    image = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    if image is None:
        raise SourceUnusable(*_NO_RENDER)
    return image


def _written(image: bpy.types.Image, scene: bpy.types.Scene, standard: bool) -> Callable[[], Source]:
    if image.type == "RENDER_RESULT" and not bpy.app.background and bpy.app.is_job_running("RENDER"):
        raise SourceUnusable("Blender is still rendering.", "Wait for it to finish.")
    with tempfile.TemporaryDirectory(prefix="blender_sd-") as folder, _output_settings(scene, standard):
        path = os.path.join(folder, "shown.tga")
        try:
            image.save_render(path, scene=scene)
            with open(path, "rb") as file:
                data = file.read()
        except (RuntimeError, OSError) as error:
            if image.type == "RENDER_RESULT":
                raise SourceUnusable(*_NO_RENDER, str(error)) from None
            raise SourceUnusable(f"The image '{image.name}' has no pixels.", "Choose another image.", str(error)) from None
    return lambda: Source(pixels=pixels.from_targa(data))


@contextmanager
def _output_settings(scene: bpy.types.Scene, standard: bool) -> Iterator[None]:
    """`scene`'s output set to plain 8-bit RGBA in sRGB, through its view transform or (`standard`) none; then set back."""
    render, settings = scene.render, scene.render.image_settings
    # Switching to OVERRIDE copies the scene's settings over the artist's own, so never switch back and forth.
    override = standard or settings.color_management == "OVERRIDE" or scene.display_settings.display_device != "sRGB"
    names = ("file_format", "color_mode", "color_depth", "color_management")
    before = [(render, _values(render, ("dither_intensity",))), (settings, _values(settings, names)),
              (settings.display_settings, _values(settings.display_settings, ("display_device",))),
              (settings.view_settings, _values(settings.view_settings, _VIEW))]
    media = compat.still_picture_settings(settings)
    try:
        _set(settings, [("file_format", "TARGA_RAW"), ("color_mode", "RGBA")])
        render.dither_intensity = 0.0
        if override:
            settings.color_management = "OVERRIDE"
            settings.display_settings.display_device = "sRGB"
            _set(settings.view_settings, list(_NO_VIEW.items()) if standard else _values(scene.view_settings, _VIEW))
        yield
    finally:
        _set(settings, media)
        for owner, values in before:
            _set(owner, values)


def _values(owner: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(name, getattr(owner, name)) for name in names if hasattr(owner, name)]


def _set(owner: Any, values: list[tuple[str, Any]]) -> None:
    for name, value in values:
        if hasattr(owner, name):
            setattr(owner, name, value)
