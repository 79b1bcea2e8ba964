"""Control pictures of the scene, in the conventions that ControlNets were trained with.

    depth          grey: near = white, over the visible range, linear in 1/distance as MiDaS gives it; nothing = black
    normal         OpenGL: x right in red, y up in green, towards the viewer in blue; nothing = (128, 128, 255)
    lines          white on black: outlines of objects, edges of surfaces, and creases
    segmentation   each object in a colour of its own, the same in every render; nothing = black
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from ..core.errors import SourceUnusable
from ..core.names import suggestion
from ..protocol.messages import Source
from . import geometry, handlers, viewport
from .sources import SourceLike, open_source
from .views import View

KINDS = ("depth", "normal", "lines", "segmentation")
CREASE = 35.0  # degrees between the normals of neighbouring pixels
BREAK = 0.02  # largest departure of 1/distance from a straight line over three pixels, relative to its value


def control_source(kind: str, scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None,
                   covers: tuple[int, int] | None = None) -> Callable[[], Source]:
    """Render a control picture of what a camera sees. Renders now, on the main thread.

    Args:
        kind: One of `KINDS`.
        scene: The scene; its camera is used if there is no `view`.
        size: (width, height) of the picture in pixels.
        view: A 3D View's view instead of the camera's.
        covers: The size of the picture whose frame is the camera's; by default `size`.

    Returns:
        A function that turns the passes into the picture, on any thread.

    Raises:
        SourceUnusable: There is no camera, or `kind` cannot be drawn.
    """
    if kind not in KINDS:
        raise SourceUnusable(f"A '{kind}' control cannot be drawn from the scene.", suggestion(kind, KINDS))

    def render() -> Callable[[], Source]:
        seen = geometry.look(scene, size, view, covers)
        return lambda: _source(_PICTURES[kind](seen))

    return handlers.after_render(scene, render)


def open_control(kind: str, image: Any, size: tuple[int, int], covers: tuple[int, int] | None = None) -> SourceLike:
    """Return a control's picture as a source.

    Args:
        kind: The kind of control.
        image: "CAMERA" or "VIEWPORT" draws a `kind` of `KINDS` from what the camera or the 3D View sees; anything else
            as in `sources.open_source`.
        size: (width, height) of a drawn picture in pixels.
        covers: As in `control_source`.

    Raises:
        SourceUnusable: There is no camera, or the image cannot be read.
        NeedsWindow: "VIEWPORT" without a window.
    """
    if is_drawn(kind, image) and image == "CAMERA":
        return control_source(kind, bpy.context.scene, size, covers=covers)
    if is_drawn(kind, image):
        view = viewport.viewport_view(bpy.context, size[0] / size[1])
        return control_source(kind, view.scene, size, view)
    return open_source(image)[0]


def is_drawn(kind: str, image: Any) -> bool:
    """Return whether a control's picture is drawn from the scene's geometry, at the size that is requested."""
    return kind in KINDS and isinstance(image, str) and image in ("CAMERA", "VIEWPORT")


def control_image(kind: str, picture: np.ndarray) -> bpy.types.Image:
    """Return the control picture of `kind` (H×W×4 uint8 sRGB, row 0 on top) as a new image datablock."""
    height, width = picture.shape[:2]
    made = bpy.data.images.new(f"{kind} control", width, height, alpha=True)
    made.pixels.foreach_set((picture[::-1].astype(np.float32) / 255).ravel())
    made.pack()
    return made


def depth_picture(depth: np.ndarray) -> np.ndarray:
    """Convert H×W distances (infinite where nothing is) to an H×W×3 uint8 picture."""
    there = np.isfinite(depth)
    if not there.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    near = np.where(there, 1.0 / np.maximum(depth, 1e-6), 0.0)
    low, high = near[there].min(), near[there].max()
    # If everything is at the same distance, all of it is white. The farthest thing stays above the background's black.
    grey = np.where(there, 1 + 254 * (near - low) / (high - low) if high > low else 255.0, 0.0)
    return _grey(np.rint(grey).astype(np.uint8))


def normal_picture(directions: np.ndarray) -> np.ndarray:
    """Convert H×W×3 unit vectors (0 where nothing is) to an H×W×3 uint8 picture."""
    facing = np.where((directions == 0).all(-1, keepdims=True), np.float32([0, 0, 1]), directions)
    return np.rint((facing + 1) * 127.5).astype(np.uint8)


def segmentation_picture(objects: np.ndarray) -> np.ndarray:
    """Convert H×W object numbers (0 where nothing is) to an H×W×3 uint8 picture, with distant hues for close numbers.
    """
    numbers, places = np.unique(objects, return_inverse=True)
    hue = np.where(numbers < 1, numbers, numbers * 0.61803398875) % 1.0 * 6
    level = np.where(np.modf(numbers * 7.31)[0] < 0.5, 255, 170)
    ramp = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
    colours = np.rint((0.15 + 0.85 * ramp) * level[:, None]).astype(np.uint8)
    colours[numbers == 0] = 0
    return colours[places.reshape(objects.shape)]


def lines_picture(depth: np.ndarray, objects: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Convert distances, object numbers and normals to an H×W×3 uint8 picture.

    A line is drawn on the nearer of the two pixels that it separates.
    """
    there = np.isfinite(depth)
    near = np.where(there, 1.0 / np.maximum(depth, 1e-6), 0.0)
    line = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = tuple(first), tuple(second)
        both = there[a] & there[b]
        bend = (directions[a] * directions[b]).sum(-1) < np.cos(np.radians(CREASE))
        parted = (objects[a] != objects[b]) | (both & (bend | _breaks(near, axis)))
        line[a] |= parted & (near[a] >= near[b])
        line[b] |= parted & (near[a] < near[b])
    return _grey(np.where(line, 255, 0).astype(np.uint8))


def _breaks(near: np.ndarray, axis: int) -> np.ndarray:
    """Return where 1/distance, which is linear over a flat face, jumps between a pixel and the next along `axis`."""
    step = np.diff(near, axis=axis)
    wide = np.pad(step, [(1, 1) if number == axis else (0, 0) for number in (0, 1)], mode="edge")
    before, after = (np.take(wide, range(start, start + step.shape[axis]), axis) for start in (0, 2))
    largest = np.maximum(np.take(near, range(step.shape[axis]), axis), np.take(near, range(1, near.shape[axis]), axis))
    return np.minimum(np.abs(step - before), np.abs(step - after)) > BREAK * largest


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


_PICTURES: dict[str, Callable[[geometry.Seen], np.ndarray]] = {
    "depth": lambda seen: depth_picture(seen.depth),
    "normal": lambda seen: normal_picture(seen.normals),
    "lines": lambda seen: lines_picture(seen.depth, seen.objects, seen.normals),
    "segmentation": lambda seen: segmentation_picture(seen.objects),
}


def _source(picture: np.ndarray) -> Source:
    return Source(pixels=np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))
