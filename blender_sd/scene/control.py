"""Control pictures of the scene, in the conventions that ControlNets were trained on.

    depth          grey: near = white, over the range that is seen, linear in 1/distance as MiDaS gives it; nothing = black
    normal         OpenGL: x right in red, y up in green, towards the viewer in blue; nothing = (128, 128, 255)
    lines          white on black: where an object ends, where its surface breaks off, and where it has a crease
    segmentation   each object in a colour of its own, which it keeps from render to render; nothing = black
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from ..protocol.errors import SourceUnusable
from ..protocol.messages import Source
from . import geometry, viewport
from .renders import render_result_size
from .sources import SourceLike, open_source
from .views import View

KINDS = ("depth", "normal", "lines", "segmentation")
CREASE = 35.0  # degrees between the normals of neighbouring pixels
BREAK = 0.02  # how far 1/distance may depart from a straight line over three pixels, as a share of itself


def control_source(kind: str, scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None) -> Callable[[], Source]:
    """The control picture of `kind` for what `scene`'s camera sees, or `view`, at `size` (width, height). Renders now, on the main
    thread; the callable turns the numbers into the picture on any thread. Raises SourceUnusable without a camera."""
    if kind not in KINDS:
        raise SourceUnusable(f"A '{kind}' control cannot be drawn from the scene.", f"Choose one of: {', '.join(KINDS)}.")
    if kind == "normal":
        directions = geometry.normals(scene, size, view)
        return lambda: _source(normal_picture(directions))
    depth, objects = geometry.depth_and_objects(scene, size, view)
    if kind == "depth":
        return lambda: _source(depth_picture(depth))
    if kind == "segmentation":
        return lambda: _source(segmentation_picture(objects))
    directions = geometry.normals(scene, size, view)
    return lambda: _source(lines_picture(depth, objects, directions))


def open_control(kind: str, image: Any, size: tuple[int, int]) -> SourceLike:
    """The picture of a control as it travels: of a `kind` in KINDS with `image` "CAMERA" or "VIEWPORT", what the scene's camera
    or the 3D View sees at `size`; else `image`, as `sources.open_source` takes it. Raises SourceUnusable, and NeedsWindow for
    "VIEWPORT" without a window."""
    if kind in KINDS and isinstance(image, str) and image == "CAMERA":
        return control_source(kind, bpy.context.scene, size)
    if kind in KINDS and isinstance(image, str) and image == "VIEWPORT":
        view = viewport.viewport_view(bpy.context, size[0] / size[1])
        return control_source(kind, view.scene, size, view)
    return open_source(image)[0]


def control_image(kind: str, image: Any, size: tuple[int, int] | None) -> bpy.types.Image:
    """The same as a new image datablock; `size` None: the scene's render size. Raises SourceUnusable."""
    opened = open_control(kind, image, size or render_result_size(bpy.context.scene))
    source = opened() if callable(opened) else opened
    if source.pixels is None:
        raise SourceUnusable("This picture is a file already.", "Open it in an Image Editor.")
    height, width = source.pixels.shape[:2]
    made = bpy.data.images.new(f"{kind} control", width, height, alpha=True)
    made.pixels.foreach_set((source.pixels[::-1].astype(np.float32) / 255).ravel())
    made.pack()
    return made


def depth_picture(depth: np.ndarray) -> np.ndarray:
    """H×W distances (infinite where nothing is) → H×W×3 uint8."""
    there = np.isfinite(depth)
    if not there.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    near = np.where(there, 1.0 / np.maximum(depth, 1e-6), 0.0)
    low, high = near[there].min(), near[there].max()
    # Where all is at one distance it is all near. The farthest thing stays a shade above the background's black.
    grey = np.where(there, 1 + 254 * (near - low) / (high - low) if high > low else 255.0, 0.0)
    return _grey(np.rint(grey).astype(np.uint8))


def normal_picture(directions: np.ndarray) -> np.ndarray:
    """H×W×3 unit vectors (0 where nothing is) → H×W×3 uint8."""
    facing = np.where((directions == 0).all(-1, keepdims=True), np.float32([0, 0, 1]), directions)
    return np.rint((facing + 1) * 127.5).astype(np.uint8)


def segmentation_picture(objects: np.ndarray) -> np.ndarray:
    """H×W object numbers (0 where nothing is) → H×W×3 uint8: hues far apart for numbers close together."""
    numbers, places = np.unique(objects, return_inverse=True)
    hue = np.where(numbers < 1, numbers, numbers * 0.61803398875) % 1.0 * 6
    level = np.where(np.modf(numbers * 7.31)[0] < 0.5, 255, 170)
    ramp = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], -1).clip(0, 1)
    colours = np.rint((0.15 + 0.85 * ramp) * level[:, None]).astype(np.uint8)
    colours[numbers == 0] = 0
    return colours[places.reshape(objects.shape)]


def lines_picture(depth: np.ndarray, objects: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distances, object numbers and normals → H×W×3 uint8. A line is drawn on the nearer of the two pixels that it parts."""
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
    """Where 1/distance, which is linear over any flat face, jumps between a pixel and the next along `axis`."""
    step = np.diff(near, axis=axis)
    wide = np.pad(step, [(1, 1) if number == axis else (0, 0) for number in (0, 1)], mode="edge")
    before, after = (np.take(wide, range(start, start + step.shape[axis]), axis) for start in (0, 2))
    largest = np.maximum(np.take(near, range(step.shape[axis]), axis), np.take(near, range(1, near.shape[axis]), axis))
    return np.minimum(np.abs(step - before), np.abs(step - after)) > BREAK * largest


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def _source(picture: np.ndarray) -> Source:
    return Source(pixels=np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))
