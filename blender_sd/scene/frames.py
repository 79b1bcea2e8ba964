"""The frame of a scene's render: its size, its camera, and the part that Crop to Render Region keeps."""
from __future__ import annotations

from typing import NamedTuple

import bpy

from ..core.errors import SourceUnusable
from . import compat


class Region(NamedTuple):
    """A part of a picture, in pixels from its lower left corner."""

    left: int
    bottom: int
    right: int
    top: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.top - self.bottom


def full_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return (width, height) in pixels of the camera's whole picture."""
    render = scene.render
    return tuple(max(1, side * render.resolution_percentage // 100)
                 for side in (render.resolution_x, render.resolution_y))


def region_of(scene: bpy.types.Scene) -> Region:
    """Return the part of the camera's picture that a render of `scene` has: all of it, or what it is cropped to."""
    (width, height), render = full_size(scene), scene.render
    if not (render.use_border and render.use_crop_to_border):
        return Region(0, 0, width, height)
    return Region(int(render.border_min_x * width), int(render.border_min_y * height),
                  int(render.border_max_x * width), int(render.border_max_y * height))


def layer_of(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """Return the view layer that a render of `scene` shows: the first one used for rendering, or with Render Single
    Layer the active one."""
    if scene.render.use_single_layer and bpy.context.scene == scene:
        return bpy.context.view_layer
    return next((layer for layer in scene.view_layers if layer.use), scene.view_layers[0])


def camera_of(scene: bpy.types.Scene, frame: int | None = None) -> bpy.types.Object:
    """Return the object through which a render of `scene` looks in a frame; None for the current one.

    That is the camera bound to a marker on the timeline, or else the scene's.

    Raises:
        SourceUnusable: There is none.
    """
    if frame is None:
        frame = scene.frame_current
    bound = sorted((marker for marker in scene.timeline_markers if marker.camera is not None
                    and not marker.camera.hide_render),
                   key=lambda marker: marker.frame)
    past = [marker for marker in bound if marker.frame <= frame]
    camera = (past[-1] if past else bound[0]).camera if bound else scene.camera
    if camera is None:
        raise SourceUnusable(f"The scene '{scene.name}' has no camera.",
                             "Add one (Add ▸ Camera), or choose another source.")
    return camera


def stand_in(seen_by: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Object:
    """Return a new camera for an object that is none but is used as the scene's camera.

    It takes the picture that `scene`'s engine takes through the object. Any object can be a scene's camera, but Cycles
    crashes in 5.2 if it has no data. The caller removes the camera and its data.
    """
    data = bpy.data.cameras.new("Stable Diffusion camera")
    camera = bpy.data.objects.new(data.name, data)
    now = compat.evaluated(seen_by, scene)
    camera.matrix_world = now.matrix_world
    if scene.render.engine == "CYCLES":
        data.clip_start, data.clip_end = 1e-5, 1e5
    else:
        data.clip_start, data.clip_end = 0.1, 1000.0
    # Cycles looks through all others with its camera's 50 mm
    if scene.render.engine != "CYCLES" or seen_by.type == "LIGHT":
        window = now.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=100, y=100)
        data.lens = data.sensor_width * window[0][0] / 2
    return camera


def enlarged(scene: bpy.types.Scene, size: tuple[int, int]) -> tuple[tuple[int, int], Region]:
    """Return the size of the whole picture whose region, as `scene` crops it, has `size` (width, height), and that
    region.
    """
    region = region_of(scene)
    whole, starts = [], []
    for full, start, kept, wanted in zip(full_size(scene), region[:2], region.size, size, strict=True):
        whole.append(max(wanted, round(full * wanted / kept)) if kept != full else wanted)
        starts.append(min(round(start * whole[-1] / full), whole[-1] - wanted))
    return (whole[0], whole[1]), Region(*starts, starts[0] + size[0], starts[1] + size[1])


def set_frame(target: bpy.types.Scene, scene: bpy.types.Scene, size: tuple[int, int],
              covers: tuple[int, int] | None = None) -> None:
    """Give `target` the frame of `scene` in a picture of `size`.

    Args:
        target: The scene to change.
        scene: The scene whose frame is wanted.
        size: (width, height) in pixels.
        covers: The size of a picture that shows the same frame; it is stretched to `size` if its shape differs. By
            default the camera's picture in the shape of `size`.
    """
    render = target.render
    (width, height), region = enlarged(scene, covers or size)
    if covers not in (None, size):
        stretch = [wanted / had for wanted, had in zip(size, covers, strict=True)]
        width, height = (max(wanted, round(side * factor)) for side, factor,
                         wanted in zip((width, height), stretch, size, strict=True))
        left, bottom = (min(round(start * factor), side - wanted)
                        for start, factor, side, wanted in zip(region[:2], stretch, (width, height), size, strict=True))
        region = Region(left, bottom, left + size[0], bottom + size[1])
    else:
        stretch = [1.0, 1.0]
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    aspect = scene.render.pixel_aspect_x * stretch[1] / (scene.render.pixel_aspect_y * stretch[0])
    render.pixel_aspect_x, render.pixel_aspect_y = max(1.0, aspect), max(1.0, 1 / aspect)  # Blender takes none below 1
    render.use_border = render.use_crop_to_border = region.size != (width, height)
    render.border_min_x, render.border_max_x = (region.left + 0.5) / width, (region.right + 0.5) / width
    render.border_min_y, render.border_max_y = (region.bottom + 0.5) / height, (region.top + 0.5) / height
