"""All differences between Blender 4.2 LTS, 4.5 LTS, 5.0 and 5.2 LTS in this package. No other module asks for a
version.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


def node_tree_of(material: bpy.types.Material) -> bpy.types.NodeTree:
    """Return the material's node tree, switched on if it was off.

    5.0 deprecates `use_nodes` (always on); in 4.x materials start without a tree.
    """
    if bpy.app.version < (5, 0) and not material.use_nodes:
        material.use_nodes = True
    return material.node_tree


def uses_nodes(material: bpy.types.Material) -> bool:
    """Return whether the material is shaded by its node tree."""
    return material.node_tree is not None and (bpy.app.version >= (5, 0) or material.use_nodes)


def refresh_paint_slots() -> None:
    """Update the slots of Texture Paint after image nodes have changed.

    4.5 does so itself; in 4.2 strokes would go into the replaced image.
    """
    scene = bpy.context.scene
    if bpy.app.version < (4, 5) and scene.is_editable:
        # Setting it makes Blender look again
        scene.tool_settings.image_paint.mode = scene.tool_settings.image_paint.mode


def still_picture_settings(settings: bpy.types.ImageFormatSettings) -> list[tuple[str, object]]:
    """Prepare `settings` for a still picture's format: since 5.0 the available formats depend on `media_type`.

    Returns:
        (name, value) of the settings to restore, in order.
    """
    if not hasattr(settings, "media_type"):
        return []
    before = [("media_type", settings.media_type)]
    settings.media_type = "IMAGE"
    return before


def multilayer_settings(settings: bpy.types.ImageFormatSettings) -> None:
    """Set `settings` to write all passes into one OpenEXR file of one part; since 5.0 there would be a part for each
    pass.
    """
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True


def movie_settings(settings: bpy.types.ImageFormatSettings) -> None:
    """Set `settings` to write a movie by FFmpeg; since 5.0 the available formats depend on `media_type`."""
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"


def strips_of(scene: bpy.types.Scene) -> bpy.types.bpy_struct:
    """Return the strips of `scene`'s Sequencer, made if it has none. They were called sequences before 4.4."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def fcurves_of(block: bpy.types.ID) -> list[bpy.types.FCurve]:
    """Return the F-curves and drivers that animate a datablock. Since 4.4 actions have layers, since 5.0 only these."""
    data = block.animation_data
    if data is None:
        return []
    curves = list(data.drivers)
    if data.action is not None and hasattr(data.action, "fcurves"):
        curves += list(data.action.fcurves)
    elif data.action is not None and data.action_slot is not None:
        for layer in data.action.layers:
            for strip in layer.strips:
                bag = strip.channelbag(data.action_slot)
                curves += list(bag.fcurves) if bag is not None else []
    return curves


def compositor_of(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """Return the compositor's nodes of `scene`; None where it has none. Since 5.0 they lie in a node group."""
    if not scene.render.use_compositing:
        return None
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def made_compositor_of(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """Return the compositor's nodes of `scene`, made if it has none."""
    if hasattr(scene, "compositing_node_group"):
        if scene.compositing_node_group is None:
            scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    return scene.node_tree


def works_in_rec709() -> bool:
    """Return whether scene-linear means linear Rec. 709. Since 5.0 a file can choose another working space."""
    colorspace = getattr(bpy.data, "colorspace", None)
    return getattr(colorspace, "working_space", "Linear Rec.709") == "Linear Rec.709"


def unified_paint_settings(scene: bpy.types.Scene) -> bpy.types.UnifiedPaintSettings:
    """Return the brush settings that all brushes of Texture Paint share. Since 5.0 each paint mode has its own."""
    tools = scene.tool_settings
    return getattr(tools, "unified_paint_settings", None) or tools.image_paint.unified_paint_settings


def brush_type_property(brush: bpy.types.Brush) -> str:
    """Return the name of the property that holds the type of a Texture Paint brush. It was renamed in 5.0."""
    return "image_brush_type" if hasattr(brush, "image_brush_type") else "image_tool"


@contextmanager
def in_window(window: bpy.types.Window) -> Iterator[None]:
    """Return a context in which `window` is the context's window, for operators that need one.

    It is overridden only if necessary. On Python 3.11 (Blender before 5.1) no operator is safe in a `temp_override`
    while another thread runs Python: operators release the interpreter's lock, Blender then looks context members up in
    the override's dictionary and mistakes another thread's lock for its own. It crashes within some thousand look-ups.
    """
    if bpy.context.window == window:
        yield
        return
    with bpy.context.temp_override(window=window):
        yield


def evaluated(block: bpy.types.ID, scene: bpy.types.Scene) -> bpy.types.ID:
    """Return `block` with animation and drivers applied as in `scene` now; `block` itself if that scene is not
    evaluated.
    """
    graph = bpy.context.evaluated_depsgraph_get() if bpy.context.scene == scene else scene.view_layers[0].depsgraph
    return block.evaluated_get(graph) if graph is not None else block
