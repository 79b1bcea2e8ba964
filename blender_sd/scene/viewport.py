"""The 3D View as a source: what the artist sees in it, without overlays and gizmos.

There are two ways, compared with screenshots of real windows (4.2, 5.0, 5.2). Drawing the view again off screen gives
the screen's exact pixels, except for the outermost pixels of silhouettes, where each drawing smooths differently. It
gives black for Cycles and other add-on engines; for those the window's own framebuffer is read, exact in every pixel.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bpy
import gpu
import numpy as np

from ..core.errors import NeedsWindow, SourceUnusable
from ..protocol.messages import Source
from . import compat
from .views import View, optics_of

_DRAWN_BY_BLENDER = ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT", "BLENDER_WORKBENCH")
# Blender calls a cursor's drawing code for the region under the mouse only, so we ask for every place it may be.
_SPACES = ("VIEW_3D", "IMAGE_EDITOR", "NODE_EDITOR", "PROPERTIES", "OUTLINER", "CONSOLE", "TEXT_EDITOR", "INFO",
           "TOPBAR", "STATUSBAR",
           "DOPESHEET_EDITOR", "GRAPH_EDITOR", "NLA_EDITOR", "SEQUENCE_EDITOR", "FILE_BROWSER", "SPREADSHEET",
           "PREFERENCES")
_REGIONS = ("WINDOW", "UI", "HEADER", "TOOLS", "TOOL_HEADER", "FOOTER", "CHANNELS", "NAVIGATION_BAR", "ASSET_SHELF",
            "EXECUTE")


def viewport_source(context: bpy.types.Context, overlays: bool = False) -> Callable[[], Source]:
    """Return the 3D View of `context`, or the largest open one, as displayed (opaque, sRGB), at its own size in pixels.

    With Cycles in Rendered shading it is the part that no sidebar or toolbar covers, as far as it is rendered now.

    Args:
        context: Blender's context.
        overlays: Whether to include grid, outlines and gizmos.

    Raises:
        NeedsWindow: No 3D View is open.
        SourceUnusable: A Cycles view cannot be read, because the mouse is outside the window or the view is covered.
    """
    window, area = _view(context)
    region = next(region for region in area.regions if region.type == "WINDOW")
    space = area.spaces.active
    with _overlays(space, overlays):
        if _is_read(window, area):
            rows = _read_window(window, area)
        else:
            rows = _draw(context, window, area, region, (region.width, region.height))
    area.tag_redraw()
    pixels = as_seen(rows)
    return lambda: Source(pixels=pixels)


def viewport_view(context: bpy.types.Context, aspect: float) -> View:
    """Return the view that `viewport_source` would take pixels of, as a camera.

    If `aspect` (width to height) differs from the view's, its middle is seen. Objects that the view or the render
    settings hide are left out. Raises as `viewport_source` does.
    """
    window, area = _view(context)
    region = next(region for region in area.regions if region.type == "WINDOW")
    space, layer = area.spaces.active, window.view_layer
    left, bottom, right, top = _free_part(area) if _is_read(window, area) else (
        region.x, region.y, region.x + region.width, region.y + region.height)
    part = ((left - region.x) / region.width, (bottom - region.y) / region.height,
            (right - region.x) / region.width, (top - region.y) / region.height)
    seen = optics_of(space.region_3d.view_matrix, space.region_3d.window_matrix, aspect, part)
    rendered = set(_rendered(layer.layer_collection))
    return View(window.scene, layer.name, seen, tuple(
        thing for thing in layer.objects if thing in rendered and thing.visible_get(view_layer=layer, viewport=space)))


def can_be_drawn(window: bpy.types.Window, area: bpy.types.Area) -> bool:
    """Return whether the view can be drawn off screen; otherwise it can only be read from the window."""
    return not _is_read(window, area)


def drawn_small(context: bpy.types.Context, window: bpy.types.Window, area: bpy.types.Area,
                size: tuple[int, int]) -> np.ndarray:
    """Return a 3D View drawn at another size, without overlays, gizmos and what add-ons draw.

    About 2 ms at 512 pixels on a graphics card, 60 ms if a processor draws.

    Args:
        context: Blender's context.
        window: The view's window.
        area: The view, for which `can_be_drawn` is true.
        size: (width, height) in pixels.

    Returns:
        H×W×4 uint8, row 0 on top, sRGB as displayed, opaque.
    """
    region = next(region for region in area.regions if region.type == "WINDOW")
    with _overlays(area.spaces.active, False):
        return as_seen(_draw(context, window, area, region, size))


def as_seen(rows: np.ndarray) -> np.ndarray:
    """Return a framebuffer's pixels (H×W×4 uint8, rows bottom-up) with row 0 on top and opaque, as on screen."""
    pixels = rows[::-1].copy()
    pixels[..., 3] = 255
    return pixels


# ---- inside --------------------------------------------------------------------------------------------------------


def _rendered(collection: bpy.types.LayerCollection) -> Iterator[bpy.types.Object]:
    """Yield the objects below `collection` that renders show."""
    if not (collection.exclude or collection.collection.hide_render):
        yield from (thing for thing in collection.collection.objects if not thing.hide_render)
        for child in collection.children:
            yield from _rendered(child)


def _is_read(window: bpy.types.Window, area: bpy.types.Area) -> bool:
    """Return whether the view can only be read from the window."""
    return area.spaces.active.shading.type == "RENDERED" and window.scene.render.engine not in _DRAWN_BY_BLENDER


def _view(context: bpy.types.Context) -> tuple[bpy.types.Window, bpy.types.Area]:
    if bpy.app.background:
        raise NeedsWindow("The 3D View can only be used as a source in a Blender with a window.",
                          "Use the camera instead.")
    if context.area is not None and context.area.type == "VIEW_3D":
        return context.window, context.area
    views = [(window, area) for window in context.window_manager.windows for area in window.screen.areas
             if area.type == "VIEW_3D"]
    if not views:
        raise NeedsWindow("No 3D View is open.", "Open one, or use the camera instead.")
    return max(views, key=lambda entry: entry[1].width * entry[1].height)


@contextmanager
def _overlays(space: bpy.types.SpaceView3D, shown: bool) -> Iterator[None]:
    before = space.overlay.show_overlays, space.show_gizmo
    try:
        if not shown:
            space.overlay.show_overlays = space.show_gizmo = False
        yield
    finally:
        space.overlay.show_overlays, space.show_gizmo = before


def _draw(context: bpy.types.Context, window: bpy.types.Window, area: bpy.types.Area, region: bpy.types.Region,
          size: tuple[int, int]) -> np.ndarray:
    """Return the view drawn again off screen at `size` (width, height): H×W×4 uint8, rows bottom-up."""
    space = area.spaces.active
    offscreen = gpu.types.GPUOffScreen(*size)
    try:
        with context.temp_override(window=window, area=area, region=region):
            offscreen.draw_view3d(window.scene, window.view_layer, space, region, space.region_3d.view_matrix,
                                  space.region_3d.window_matrix, do_color_management=True)
        with offscreen.bind():
            return _read(0, 0, *size)
    finally:
        offscreen.free()


def _read_window(window: bpy.types.Window, area: bpy.types.Area) -> np.ndarray:
    """Return what the window shows of the view now: H×W×4 uint8, rows bottom-up.

    Cursors are drawn last and directly into the window, so only their drawing code gives Python access to it.
    """
    left, bottom, right, top = _free_part(area)
    pixels: list[np.ndarray] = []

    def look(*_: object) -> None:
        if not pixels:
            pixels.append(_read(left, bottom, right - left, top - bottom))

    handles = [bpy.types.WindowManager.draw_cursor_add(look, (), space, region) for space in _SPACES
               for region in _REGIONS]
    try:
        with compat.in_window(window):
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
    finally:
        for handle in handles:
            bpy.types.WindowManager.draw_cursor_remove(handle)
    if not pixels:
        raise SourceUnusable("The 3D View could not be read while the mouse is outside its window.",
                             "Move the mouse over it and try again.")
    return pixels[0]


def _free_part(area: bpy.types.Area) -> tuple[int, int, int, int]:
    """Return (left, bottom, right, top) of the view in window pixels, without what covers its edges.

    Raises:
        SourceUnusable: Nothing is left.
    """
    main = next(region for region in area.regions if region.type == "WINDOW")
    left, bottom, right, top = main.x, main.y, main.x + main.width, main.y + main.height
    for region in area.regions:
        if region.type == "WINDOW" or region.width <= 1 or region.height <= 1:
            continue
        overlaps = (region.x < right and region.x + region.width > left and region.y < top
                    and region.y + region.height > bottom)
        if not overlaps:
            continue
        if region.alignment == "LEFT":
            left = max(left, region.x + region.width)
        elif region.alignment == "RIGHT":
            right = min(right, region.x)
        elif region.alignment == "TOP":
            top = min(top, region.y)
        elif region.alignment == "BOTTOM":
            bottom = max(bottom, region.y + region.height)
    if right - left < 1 or top - bottom < 1:
        raise SourceUnusable("The 3D View is covered by its sidebars.", "Close one of them or make the view larger.")
    return left, bottom, right, top


def _read(x: int, y: int, width: int, height: int) -> np.ndarray:
    """Return part of the bound framebuffer: H×W×4 uint8, rows bottom-up.

    Windows cannot be read as 8-bit on every version and backend, but as floats.
    """
    raw = gpu.state.active_framebuffer_get().read_color(x, y, width, height, 4, 0, "FLOAT")
    raw.dimensions = width * height * 4
    values = np.array(raw, np.float32).reshape(height, width, 4)
    return (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
