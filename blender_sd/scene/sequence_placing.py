"""Bring a finished animation into the Sequencer or the Compositor."""
from __future__ import annotations

import os
from collections.abc import Sequence

import bpy

from . import compat

_LONGEST = 1000  # pictures of a strip: adding to a longer one takes ever longer
_NODE = "Stable Diffusion animation"


def in_sequencer(scene: bpy.types.Scene, paths: Sequence[str], frames: Sequence[int], name: str) -> list[str]:
    """Show pictures in `scene`'s Sequencer, each at its frame, in a channel of their own. Return the strips' names.

    Args:
        scene: The scene.
        paths: The files, in their order; of a scene with several views, those of the first one.
        frames: The frame of each, rising. A picture stays until the next one.
        name: What the strips are called.
    """
    strips = compat.strips_of(scene)
    channel = max((strip.channel for strip in strips), default=0) + 1
    made = []
    last, until = None, None
    for path, frame in zip(paths, frames):
        folder, file = os.path.split(path)
        if last is not None and frame == until and folder == last[1] and len(last[0].elements) < _LONGEST:
            last[0].elements.append(file)
        else:
            if last is not None and frame > until:
                last[0].frame_final_end = frame
            strip = strips.new_image(name, path, channel, frame)
            strip.colorspace_settings.name = "sRGB"
            strip.use_multiview = _has_views(scene, path)  # Blender finds the files of the other views by their endings
            made.append(strip)
            last = strip, folder
        until = frame + 1
    return [strip.name for strip in made]


def in_compositor(scene: bpy.types.Scene, paths: Sequence[str], frames: Sequence[int], name: str) -> bpy.types.Image:
    """Add a node to `scene`'s Compositor that shows pictures at their frames, connected to nothing. Return its image.

    Args:
        scene: The scene.
        paths: The files, numbered by their frames; of a scene with several views, those of the first one.
        frames: The frame of each, rising.
        name: What the image and the node are called.
    """
    image = bpy.data.images.load(paths[0], check_existing=False)
    if _has_views(scene, paths[0]):
        image.use_multiview = True
        image.views_format = "INDIVIDUAL"  # Blender looks for the files when this is set, and only while it is one file
    image.name, image.source = name, "SEQUENCE"
    tree = compat.made_compositor_of(scene)
    node = tree.nodes.new("CompositorNodeImage")
    node.name = node.label = _NODE
    node.image = image
    node.frame_start, node.frame_duration = frames[0], frames[-1] - frames[0] + 1
    node.frame_offset = frames[0] - 1  # the file of the frame that is shown has that frame's number
    node.location = (min((other.location.x for other in tree.nodes if other != node), default=0) - 300, 0)
    return image


def _has_views(scene: bpy.types.Scene, path: str) -> bool:
    """Return whether a picture is, by its name, of one of several views that a render of `scene` has."""
    endings = tuple(view.file_suffix for view in scene.render.views if view.file_suffix)
    return scene.render.use_multiview and os.path.splitext(path)[0].endswith(endings)
