"""Where each pixel's point was and will be: Blender's Vector pass, in pixels right and down."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
import numpy as np

from . import geometry, handlers
from .control_scene import stage

_MOST = 900  # of Blender's time remapping


def vectors_of_frame(scene: bpy.types.Scene, size: tuple[int, int], step: int = 1) -> np.ndarray:
    """Return the motion in the current frame of `scene`, as Cycles renders it with one sample a pixel.

    Args:
        scene: The scene; its camera is used.
        size: (width, height) of the picture in pixels.
        step: Frames between this one and the one before, and the next one.

    Returns:
        H×W×4 float32, row 0 on top: pixels right and down from each pixel to where its point is in the frame before,
        and to where it is in the next one; 0 where nothing is.

    Raises:
        SourceUnusable: There is no camera, or Blender cannot render.
    """
    handlers.check_render()
    with handlers.quiet(), stage(scene, size) as made:
        geometry.configure_exact(made.scene)
        made.scene.view_layers[0].use_pass_vector = True
        with _in_steps(made.scene, step):
            channels = geometry.rendered(made.scene).channels
    # Blender's y points up, and its second pair points from the next frame to this one
    x, y, next_x, next_y = (channels[f"Vector.{axis}"] for axis in "XYZW")
    vectors = np.stack([x, -y, -next_x, next_y], -1).astype(np.float32)
    vectors[~np.isfinite(vectors).all(-1)] = 0
    return vectors


@contextmanager
def _in_steps(scene: bpy.types.Scene, step: int) -> Iterator[None]:
    """Return a context in which a frame of `scene` lasts `step` frames and the time is the same: the pass looks one
    frame back and ahead.

    A render takes the number of the frame from the context's scene, whichever scene it is of.
    """
    now, render, current = scene.frame_current + scene.frame_subframe, scene.render, bpy.context.scene
    before = current.frame_current
    if step == 1:
        yield
        return
    render.frame_map_old = min(_MOST, render.frame_map_old * step)
    scene.frame_set(int(now // step), subframe=(now % step) / step)
    current.frame_current = scene.frame_current
    try:
        yield
    finally:
        current.frame_current = before
