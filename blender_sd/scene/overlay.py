"""Pictures drawn over 3D Views: one over a whole view, and one on the faces of objects.

Nothing in the file is touched, so nothing can be saved, undone or left behind. Draw handlers exist only while there is
something to draw. Main thread only.
"""
from __future__ import annotations

from collections.abc import Sequence

import bpy
import gpu
import numpy as np
from mathutils import Matrix, Vector

from . import drawing, screens
from .drawing import Picture
from .surfaces import Surface

LIVE, JOB = "live", "job"  # the owners of pictures
_CORNER, _EDGE = 0.4, 16.0  # largest share of the region for a picture in its corner, and pixels to the edge

_handlers: list[tuple[object, str]] = []
_over: _Over | None = None
_on: dict[str, _On] = {}  # by owner


class _Over:
    def __init__(self, space: int, picture: Picture, share: float, aspect: float) -> None:
        self.space, self.picture, self.share, self.aspect = space, picture, share, aspect

    def place(self, region: bpy.types.Region) -> tuple[float, float, float, float]:
        """Return (left, bottom, right, top) in shares of the region's sides; the lower left corner if there is an
        `aspect`.
        """
        if not self.aspect:
            return 0.0, 0.0, 1.0, 1.0
        high = _CORNER * min(region.height, region.width / self.aspect)
        left, bottom = _EDGE / region.width, _EDGE / region.height
        return left, bottom, left + high * self.aspect / region.width, bottom + high / region.height


class _On:
    def __init__(self, surfaces: Sequence[Surface], picture: Picture, share: float, space: int) -> None:
        self.surfaces, self.picture, self.share, self.space = surfaces, picture, share, space
        self.batches: dict[int, gpu.types.GPUBatch] = {}


def show_over(space: int, pixels: np.ndarray, share: float, corner: bool = False) -> None:
    """Draw a picture over a 3D View.

    Args:
        space: The pointer of the 3D View's space.
        pixels: H×W×3|4 uint8 sRGB, row 0 on top.
        share: Opacity, 0 to 1.
        corner: Whether to draw it only in a corner of the view.
    """
    global _over
    _over = _Over(space, Picture(pixels), share, pixels.shape[1] / pixels.shape[0] if corner else 0.0)
    _on.pop(LIVE, None)
    _settle(space)


def show_on(owner: str, surfaces: Sequence[Surface], pixels: np.ndarray, share: float = 1.0, space: int = 0) -> None:
    """Draw a picture on surfaces. It replaces what the same owner showed.

    Args:
        owner: `LIVE` or `JOB`.
        surfaces: The faces to draw on.
        pixels: H×W×3|4 uint8 sRGB, row 0 on top.
        share: Opacity, 0 to 1.
        space: The pointer of the only 3D View to draw in; 0 for all.
    """
    global _over
    shown = _On(surfaces, Picture(pixels), share, space)
    former = _on.get(owner)
    if former is not None and former.surfaces is surfaces:
        shown.batches = former.batches
    _on[owner] = shown
    if owner == LIVE:
        _over = None
    _settle(space)


def set_surfaces(owner: str, surfaces: Sequence[Surface]) -> None:
    """Give the picture of `owner`, if there is one, other surfaces, because their shape or place has changed."""
    shown = _on.get(owner)
    if shown is not None and shown.surfaces is not surfaces:
        shown.surfaces = surfaces
        shown.batches.clear()
        _settle(shown.space)


def set_share(share: float) -> None:
    """Set the opacity of live mode's picture, 0 to 1, and redraw if it differs."""
    for shown in (_over, _on.get(LIVE)):
        if shown is not None and shown.share != share:
            shown.share = share
            screens.redraw("VIEW_3D")


def hide(owner: str) -> None:
    """Remove what `owner` shows on surfaces, and for `LIVE` the picture over a view too."""
    global _over
    if owner not in _on and (owner != LIVE or _over is None):
        return
    if owner == LIVE:
        _over = None
    _on.pop(owner, None)
    _settle()


def draw_shrunk(texture: gpu.types.GPUTexture, apart: tuple[float, float], colours: bool) -> None:
    """Fill the bound framebuffer with `texture`, averaging 4 × 4 samples for each pixel.

    Args:
        texture: The texture to draw.
        apart: Distance between samples, (x, y) in shares of the texture's sides.
        colours: Whether the texture gives linear light, which is then encoded as sRGB.
    """
    shader = drawing.shader("shrunk")
    batch = drawing.whole(shader)
    shader.uniform_float("place", (0.0, 0.0, 1.0, 1.0))
    shader.uniform_sampler("image", texture)
    shader.uniform_float("apart", apart)
    shader.uniform_float("share", float(colours))
    batch.draw(shader)


def clear() -> None:
    """Remove everything, for unregistering."""
    global _over
    _over = None
    _on.clear()
    _settle()
    drawing.clear()


def _settle(space: int = 0) -> None:
    """Add or remove draw handlers as needed. Redraw the 3D View of `space`, or all of them for 0."""
    wanted = _over is not None or bool(_on)
    if not bpy.app.background:
        if wanted and not _handlers:
            for draw, when in ((_draw_on, "POST_VIEW"), (_draw_over, "POST_PIXEL")):
                _handlers.append((bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", when), when))
        if not wanted:
            for handler, _ in _handlers:
                bpy.types.SpaceView3D.draw_handler_remove(handler, "WINDOW")
            _handlers.clear()
    for area in screens.areas("VIEW_3D"):
        if space in (0, area.spaces.active.as_pointer()):
            area.tag_redraw()


def _draw_over() -> None:
    if _over is None or _over.share <= 0 or bpy.context.space_data.as_pointer() != _over.space:
        return
    drawing.draw_over(_over.picture, _over.place(bpy.context.region), _over.share)


def _draw_on() -> None:
    space = bpy.context.space_data
    if not _on:
        return
    seen = gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix()
    ahead = space.region_3d.view_rotation @ Vector((0.0, 0.0, 1.0))
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.blend_set("ALPHA")
    try:
        for shown in _on.values():
            if shown.share > 0 and shown.space in (0, space.as_pointer()):
                _draw_surfaces(shown, seen, ahead, space)
    finally:
        gpu.state.blend_set("NONE")
        gpu.state.depth_test_set("NONE")


def _draw_surfaces(shown: _On, seen: Matrix, ahead: Vector, space: bpy.types.SpaceView3D) -> None:
    shader = drawing.shader("on")
    for number, surface in enumerate(shown.surfaces):
        obj = surface.find()
        # Its shape changes all the time
        if obj is None or obj.mode in ("EDIT", "SCULPT") or not obj.visible_get(viewport=space):
            continue
        batch = shown.batches.get(number)
        if batch is None:
            batch = shown.batches[number] = drawing.batch_of(shader, "TRIS", pos=surface.corners, uv=surface.uvs,
                                                             normal=surface.normals)
        eye = obj.matrix_world.to_3x3().transposed() @ ahead  # the view's direction in the object's own space
        shader.uniform_float("matrix", seen @ obj.matrix_world)
        shader.uniform_float("eye", eye.normalized())
        shader.uniform_float("share", shown.share)
        shader.uniform_sampler("image", shown.picture.texture())
        batch.draw(shader)
