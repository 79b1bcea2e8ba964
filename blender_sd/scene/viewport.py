"""The 3D View as a source: what the artist sees in it, without overlays and gizmos."""
from __future__ import annotations

from collections.abc import Callable

import bpy
import gpu
import numpy as np

from ..protocol.errors import NeedsWindow
from ..protocol.messages import Source


def viewport_source(context: bpy.types.Context, overlays: bool = False) -> Callable[[], Source]:
    """The 3D View of `context`, else the largest one that is open, at its own size in pixels, as displayed.

    Drawn anew off screen with the view's own shading, through the scene's view transform; `overlays`: with grid,
    outlines and the like. Raises NeedsWindow where no 3D View is open.
    """
    window, area = _view(context)
    region = next(region for region in area.regions if region.type == "WINDOW")
    space = area.spaces.active
    shown = space.overlay.show_overlays
    offscreen = gpu.types.GPUOffScreen(region.width, region.height)
    try:
        if not overlays:
            space.overlay.show_overlays = False
        with context.temp_override(window=window, area=area, region=region):
            offscreen.draw_view3d(window.scene, window.view_layer, space, region, space.region_3d.view_matrix,
                                  space.region_3d.window_matrix, do_color_management=True)
        with offscreen.bind():
            raw = gpu.state.active_framebuffer_get().read_color(0, 0, region.width, region.height, 4, 0, "UBYTE")
    finally:
        space.overlay.show_overlays = shown
        offscreen.free()
    raw.dimensions = region.width * region.height * 4
    rows = np.array(raw, np.uint8).reshape(region.height, region.width, 4)[::-1].copy()
    rows[..., 3] = 255  # a view on a screen covers all of it
    return lambda: Source(pixels=rows)


def _view(context: bpy.types.Context) -> tuple[bpy.types.Window, bpy.types.Area]:
    if bpy.app.background:
        raise NeedsWindow("The 3D View can only be used as a source in a Blender with a window.", "Use the camera instead.")
    if context.area is not None and context.area.type == "VIEW_3D":
        return context.window, context.area
    found = [(window, area) for window in context.window_manager.windows for area in window.screen.areas if area.type == "VIEW_3D"]
    if not found:
        raise NeedsWindow("No 3D View is open.", "Open one, or use the camera instead.")
    return max(found, key=lambda entry: entry[1].width * entry[1].height)
