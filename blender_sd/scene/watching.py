"""What live mode looks at, a 3D View or a texture: cheap small pictures of it, and signs of a change without a picture.

Main thread; pictures need a window.
"""
from __future__ import annotations

from typing import NamedTuple

import bpy
import gpu
import numpy as np

from . import overlay, viewport

_STROKES = ("PAINT_OT_image_paint", "PAINT_OT_vertex_paint", "PAINT_OT_weight_paint", "SCULPT_OT_brush_stroke")
_TAPS = 4  # samples along each side of a pixel's area, so that large textures are shrunk without noise


class View(NamedTuple):
    """A 3D View that is open now. Held only for one call: areas come and go."""

    window: bpy.types.Window
    area: bpy.types.Area
    region: bpy.types.Region
    space: bpy.types.SpaceView3D


def find_view(pointer: int) -> View | None:
    """Return the 3D View whose space has that pointer, which maximising an area keeps; None if it is not shown now."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D" and area.spaces.active.as_pointer() == pointer:
                region = next(region for region in area.regions if region.type == "WINDOW")
                return View(window, area, region, area.spaces.active)
    return None


def view_sign(view: View) -> tuple:
    """Return values that change when the view shows something else in an unchanged scene: direction, shape, shading."""
    seen, shading = view.space.region_3d, view.space.shading
    settings = tuple(_plain(getattr(shading, name)) for name in _shading_names(shading))
    return (view.window.scene.session_uid, view.window.view_layer.name, view.region.width, view.region.height,
            _plain(seen.view_matrix), _plain(seen.window_matrix), settings)


def obstacle(view: View) -> str:
    """Return why no pictures of the view can be taken, in words; "" if they can."""
    if not viewport.can_be_drawn(view.window, view.area):  # Cycles and other add-on engines
        return "this shading cannot be watched, choose Solid or Material Preview"
    return "leave Quad View first" if view.space.region_quadviews else ""


def in_stroke(view: View) -> bool:
    """Return whether the artist is drawing a stroke, which changes what is seen before Blender reports it."""
    return any(operator.bl_idname in _STROKES for operator in view.window.modal_operators)


def ripens(view: View) -> bool:
    """Return whether the view improves by itself: Blender compiles materials in the background without reporting it."""
    return view.space.shading.type in ("MATERIAL", "RENDERED")


def view_pixels(view: View, size: tuple[int, int]) -> np.ndarray:
    """Return the view without overlays and what is drawn over it.

    Args:
        view: The view.
        size: (width, height) in pixels.

    Returns:
        H×W×4 uint8 sRGB, row 0 on top, opaque.
    """
    return viewport.drawn_small(bpy.context, view.window, view.area, size)


def texture_pixels(image: bpy.types.Image, size: tuple[int, int]) -> np.ndarray:
    """Return `image` as it is painted now, as `view_pixels` does.

    It is drawn from the texture that the graphics card has anyway, so a large image costs no more than a small one.
    """
    texture = gpu.texture.from_image(image)
    offscreen = gpu.types.GPUOffScreen(*size)
    try:
        with offscreen.bind():
            overlay.draw_shrunk(texture, (1 / (size[0] * _TAPS), 1 / (size[1] * _TAPS)),
                                not image.colorspace_settings.is_data)
            raw = gpu.state.active_framebuffer_get().read_color(0, 0, *size, 4, 0, "UBYTE")
    finally:
        offscreen.free()
    raw.dimensions = size[0] * size[1] * 4
    return viewport.as_seen(np.array(raw, np.uint8).reshape(size[1], size[0], 4))


# ---- inside --------------------------------------------------------------------------------------------------------

_names: dict[type, tuple[str, ...]] = {}


def _shading_names(shading: bpy.types.View3DShading) -> tuple[str, ...]:
    kind = type(shading)
    if kind not in _names:
        _names[kind] = tuple(prop.identifier for prop in shading.bl_rna.properties
                             if prop.type in ("BOOLEAN", "INT", "FLOAT", "ENUM", "STRING") and not prop.is_readonly)
    return _names[kind]


def _plain(value: object) -> object:
    """Return a value that does not change together with Blender's."""
    if hasattr(value, "row"):
        return tuple(map(tuple, value))
    if isinstance(value, (bool, int, float, str, frozenset)):
        return value
    return frozenset(value) if isinstance(value, set) else tuple(value)
