"""Sources that are pictures of the scene as shown: Render Result and camera.

A result comes back as an sRGB image, which Blender shows without the scene's view transform. So a source must be what
the artist saw: pixels *after* the view transform. Then strength 0 shows the same picture again, whatever the transform.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress

import bpy

from ..core.errors import NoRender, SourceUnusable
from ..protocol.messages import Source
from . import compat, frames, handlers, pixels, stamps, stereo
from .render_output import as_png, as_targa, set_values, values_of

_MATTES = ("use_pass_cryptomatte_object", "use_pass_cryptomatte_material")
_POLL = 0.05  # seconds between looks at a running render
_NO_RENDER = ("There is no Render Result yet.", "Render the scene first (F12), or choose Camera as the source.")


def render_result_source(scene: bpy.types.Scene) -> Callable[[], Source]:
    """Return the Render Result through `scene`'s view transform, as the Image Editor shows it, with straight alpha.

    Blender's own colour management writes it into uncompressed Targa in the memory cache (about 0.1 s at 1024²; no
    Python interface to it is quicker), without dithering, since noise would not survive being encoded twice.

    Returns:
        A function that turns the bytes into pixels, on any thread.

    Raises:
        SourceUnusable: Nothing was rendered yet.
    """
    return as_shown(_render_result(), scene)


def render_result_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return (width, height) in pixels of the camera's render of `scene`."""
    return frames.region_of(scene).size


def as_shown(image: bpy.types.Image, scene: bpy.types.Scene) -> Callable[[], Source]:
    """Return `image` as the Image Editor shows it in `scene`.

    The Render Result, and images set to "View as Render", go through the scene's view transform, all others through
    none.

    Raises:
        SourceUnusable: There are no pixels.
    """
    if image.use_view_as_render:
        return _written(image, scene, standard=False)
    return through_standard_view(image, scene)


def through_standard_view(image: bpy.types.Image, scene: bpy.types.Scene) -> Callable[[], Source]:
    """Return `image` converted from its own colour space to sRGB, with no look or tone mapping.

    `scene` only lends its output settings, which are restored.
    """
    return _written(image, scene, standard=True)


def render_camera(scene: bpy.types.Scene, size: tuple[int, int] | None = None,
                  mattes: bool = False) -> Callable[[], Source]:
    """Render `scene` from its camera now, wait, and return the result as shown. For scripts: it blocks Blender.

    Args:
        scene: The scene.
        size: (width, height) in pixels instead of the scene's own.
        mattes: Whether to write Cryptomatte, for `mattes.of_render`.

    Raises:
        SourceUnusable: There is no camera.
    """
    handlers.check_render()
    frames.camera_of(scene)
    before = values_of(scene.render, ("resolution_x", "resolution_y", "resolution_percentage"))
    try:
        if size is not None:
            set_values(scene.render, [("resolution_x", size[0]), ("resolution_y", size[1]),
                                      ("resolution_percentage", 100)])
        set_back = _as_one_picture(scene, mattes)
        try:
            with handlers.unheard_by_callers():
                _render(scene)
            stamps.note(scene)
        finally:
            set_back()
    finally:
        set_values(scene.render, before)
    return render_result_source(scene)


def render_as_png(scene: bpy.types.Scene, bits: int = 8, view: str = "") -> bytes:
    """Render the current frame of `scene` from its camera, wait, and return a PNG of it as shown: RGBA, straight alpha.

    Args:
        scene: The scene.
        bits: 8 or 16 for each value.
        view: The name of the view that is rendered, where the scene has several; "" for a plain render.

    Raises:
        SourceUnusable: There is no camera, or Blender cannot render.
    """
    handlers.check_render()
    set_back = _as_one_picture(scene)
    try:
        with stereo.only(scene, view):
            _render(scene)
            return as_png(_render_result(), scene, bits, standard=False)
    except (RuntimeError, OSError) as error:
        raise _failed(error) from None
    finally:
        set_back()


def as_rendered_png(bits: int, scene: bpy.types.Scene) -> bytes:
    """Return the Render Result of `scene`, whose output is what is displayed, as `as_png` does."""
    return as_png(_render_result(), scene, bits, standard=True)


def start_camera_render(scene: bpy.types.Scene, on_done: Callable[[], None], on_cancel: Callable[[], None],
                        mattes: bool = False) -> None:
    """Start a render of `scene` that leaves the interface usable. After `on_done`, `render_result_source` has the
    picture.

    Exactly one of the two functions is called later on the main thread, outside the render (from a timer; in background
    mode before this returns).

    Args:
        scene: The scene.
        on_done: Called without arguments after the render.
        on_cancel: Called without arguments if the render was cancelled.
        mattes: Whether to write Cryptomatte, for `mattes.of_render`.

    Raises:
        SourceUnusable: There is no camera, or Blender is rendering already.
    """
    frames.camera_of(scene)
    if not bpy.app.background and bpy.app.is_job_running("RENDER"):
        raise SourceUnusable("Blender is rendering already.", "Wait for it, or cancel it.")
    handlers.check_render()
    watch = _Watch(on_done, on_cancel, _as_one_picture(scene, mattes))
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


def passes_of(image: bpy.types.Image, scene: bpy.types.Scene) -> bytes:
    """Return all passes of the Render Result `image`, in its slot that is shown, as an uncompressed OpenEXR file.

    Raises RuntimeError or OSError if there are none.
    """
    settings = scene.render.image_settings
    before = values_of(settings, ("file_format", "color_mode", "color_depth", "exr_codec", "use_exr_interleave"))
    media = values_of(settings, ("media_type",))
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "passes.exr")
        try:
            compat.multilayer_settings(settings)
            settings.color_depth, settings.exr_codec = "32", "NONE"
            image.save_render(path, scene=scene)
        finally:
            set_values(settings, media)
            set_values(settings, before)
        with open(path, "rb") as file:
            return file.read()


def set_camera_background(image: bpy.types.Image, camera: bpy.types.Object, opacity: float = 1.0) -> None:
    """Show `image` in front of the scene when looking through `camera`; a former image of ours is replaced.

    Args:
        image: The picture.
        camera: An editable camera object.
        opacity: 0 to 1; a former image's opacity is kept.
    """
    data = camera.data
    shown = _our_background(data)
    if shown is None:
        shown = data.background_images.new()
        shown.alpha = opacity
    shown.source = "IMAGE"
    shown.image = image
    shown.display_depth = "FRONT"
    shown.frame_method = "FIT"
    shown.show_background_image = True
    data.show_background_images = True


def adjust_camera_background(scene: bpy.types.Scene, shown: bool, opacity: float) -> None:
    """Show or hide the result in front of `scene`'s camera, if there is one, and set its opacity (0 to 1)."""
    camera = scene.camera
    ours = _our_background(
        camera.data) if camera is not None and camera.type == "CAMERA" and camera.data.is_editable else None
    if ours is not None:
        ours.show_background_image, ours.alpha = shown, opacity


# ---- inside --------------------------------------------------------------------------------------------------------


def _as_one_picture(scene: bpy.types.Scene, mattes: bool = False) -> Callable[[], None]:
    """Make the next render of `scene` the camera's whole picture: no stereo, border, strips or overwritten files.

    With `mattes`, it writes Cryptomatte of objects and materials too.

    Returns:
        A function that restores all settings; it does nothing if the scene is gone.
    """
    render, camera = scene.render, frames.camera_of(scene)
    cropped = render.use_border and render.use_crop_to_border
    wanted = {"use_multiview": False, "use_sequencer": False, "use_stamp": False, "use_border": cropped}
    before, seen_by = values_of(render, tuple(wanted)), scene.camera
    layer = frames.layer_of(scene)
    passes = values_of(layer, _MATTES)
    set_values(render, list(wanted.items()))
    if mattes:
        set_values(layer, [(name, True) for name in _MATTES])
    used = _render_one_layer(scene) if render.use_single_layer else {}
    other = frames.stand_in(camera, scene) if camera.type != "CAMERA" else None
    if other is not None:
        scene.camera = other

    def set_back() -> None:
        with suppress(ReferenceError):
            set_values(scene.render, before)
            scene.camera = seen_by
            set_values(layer, passes)
            if used:
                scene.render.use_single_layer = True
                _use_layers(scene, used)
            if other is not None:
                bpy.data.batch_remove([other, other.data])

    return set_back


def _render_one_layer(scene: bpy.types.Scene) -> dict[str, bool]:
    """Have `scene` use only the view layer that Render Single Layer would render, and return which ones it used.

    After Render Single Layer itself, the Render Result may show another layer.
    """
    used, only = {layer.name: layer.use for layer in scene.view_layers}, frames.layer_of(scene).name
    scene.render.use_single_layer = False
    _use_layers(scene, {name: name == only for name in used})
    return used


def _use_layers(scene: bpy.types.Scene, used: dict[str, bool]) -> None:
    for layer in scene.view_layers:
        layer.use = used.get(layer.name, layer.use)


def _our_background(data: bpy.types.Camera) -> bpy.types.CameraBackgroundImage | None:
    return next((shown for shown in data.background_images if shown.image is not None and "blender_sd" in shown.image),
                None)


def is_ours() -> bool:
    """Return whether the render that goes on, or has just ended, is one of `start_camera_render`."""
    return bool(_Watch.going)


class _Watch:
    """Wait for one render to end.

    Blender's handlers run on the render's own thread, so they only take a note; a timer on the main thread reads it.
    The timer also ends the wait if no handler was ever called.
    """

    going: list[_Watch] = []

    def __init__(self, on_done: Callable[[], None], on_cancel: Callable[[], None],
                 set_back: Callable[[], None]) -> None:
        self.going.append(self)
        self._on_done, self._on_cancel, self._set_back = on_done, on_cancel, set_back
        self._done = False
        # persistent: a file that is opened meanwhile cancels the render
        self._complete = bpy.app.handlers.persistent(lambda scene, *_: self._completed(scene))
        bpy.app.handlers.render_complete.append(self._complete)

    def _completed(self, scene: bpy.types.Scene) -> None:
        self._done = True
        stamps.note(scene)

    def poll(self) -> float | None:
        if bpy.app.is_job_running("RENDER"):
            return _POLL
        self.end()
        return None

    def end(self) -> None:
        self.remove()
        (self._on_done if self._done else self._on_cancel)()

    def remove(self) -> None:
        self._set_back()
        if self in self.going:
            self.going.remove(self)
        if self._complete in bpy.app.handlers.render_complete:
            bpy.app.handlers.render_complete.remove(self._complete)


def _render(scene: bpy.types.Scene) -> None:
    try:
        bpy.ops.render.render(scene=scene.name)
    except RuntimeError as error:
        raise _failed(error) from None


def _failed(error: RuntimeError | OSError) -> SourceUnusable:
    return SourceUnusable(f"Blender could not render: {str(error).strip().removeprefix('Error: ')}",
                          "Look at the render settings.")


def _render_result() -> bpy.types.Image:
    image = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    if image is None:
        raise NoRender(*_NO_RENDER)
    return image


def _written(image: bpy.types.Image, scene: bpy.types.Scene, standard: bool) -> Callable[[], Source]:
    if image.type == "RENDER_RESULT" and not bpy.app.background and bpy.app.is_job_running("RENDER"):
        raise SourceUnusable("Blender is still rendering.", "Wait for it to finish.")
    if image.type == "RENDER_RESULT":
        return _rendered(image, scene, standard)
    try:
        data = as_targa(image, scene, standard)
    except (RuntimeError, OSError) as error:
        raise SourceUnusable(f"The image '{image.name}' has no pixels.", "Choose another image.", str(error)) from None
    return lambda: Source(pixels=pixels.from_targa(data))


def _rendered(image: bpy.types.Image, scene: bpy.types.Scene, standard: bool) -> Callable[[], Source]:
    """Return the Render Result's slot that is shown, or if that is empty the only one that was rendered."""
    slots, first = image.render_slots, image.render_slots.active_index
    pictures: dict[int, bytes] = {}
    reason = ""
    try:
        for number in (first, *(number for number in range(len(slots)) if number != first)):
            slots.active_index = number
            try:
                pictures[number] = as_targa(image, scene, standard)
            except (RuntimeError, OSError) as error:
                reason = str(error)
            if number in pictures:
                stamps.check(image, number, scene)
            if first in pictures or len(pictures) > 1:
                break
    finally:
        slots.active_index = first
    if not pictures:
        raise NoRender(*_NO_RENDER, reason)
    if len(pictures) > 1:
        raise SourceUnusable(f"The slot '{slots[first].name}' of the Render Result is empty, and several others are "
                             "not.",
                             "Choose the one that you mean in the Image Editor.")
    data, = pictures.values()
    return lambda: Source(pixels=pixels.from_targa(data))
