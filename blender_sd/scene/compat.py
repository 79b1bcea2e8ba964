"""What differs between Blender 4.2 LTS, 4.5 LTS, 5.0 and 5.2 LTS, as far as this room meets it. Nowhere else asks for a version."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


def node_tree_of(material: bpy.types.Material) -> bpy.types.NodeTree:
    """The material's node tree, switched on where it was off. 5.0 deprecates `use_nodes` (always on); 4.x starts without a tree."""
    if bpy.app.version < (5, 0) and not material.use_nodes:
        material.use_nodes = True
    return material.node_tree


def uses_nodes(material: bpy.types.Material) -> bool:
    """Whether the material is shaded by its node tree."""
    return material.node_tree is not None and (bpy.app.version >= (5, 0) or material.use_nodes)


def still_picture_settings(settings: bpy.types.ImageFormatSettings) -> list[tuple[str, object]]:
    """Makes `settings` able to take a still picture's format; what to set back, in order, as (name, value).
    Since 5.0 the formats on offer depend on `media_type`."""
    if not hasattr(settings, "media_type"):
        return []
    before = [("media_type", settings.media_type)]
    settings.media_type = "IMAGE"
    return before


def works_in_rec709() -> bool:
    """Whether scene-linear means linear Rec. 709. Since 5.0 a file can choose another working space."""
    colorspace = getattr(bpy.data, "colorspace", None)
    return getattr(colorspace, "working_space", "Linear Rec.709") == "Linear Rec.709"


@contextmanager
def in_window(window: bpy.types.Window) -> Iterator[None]:
    """Within the block `window` is the context's, for an operator that wants one.

    Only where it is not so already, for on Python 3.11 (Blender before 5.1) no operator is safe in a `temp_override` while
    another thread runs Python: operators give the interpreter's lock back, Blender then looks context members up in the
    override's dictionary, and takes the lock of any thread for its own. It crashes within some thousand look-ups.
    """
    if bpy.context.window == window:
        yield
        return
    with bpy.context.temp_override(window=window):
        yield
