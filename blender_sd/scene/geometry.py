"""What the camera or a 3D View sees, as numbers: depth, normals and object numbers of every pixel, as Blender's renderer finds
them, exactly.

A copy of the scene is rendered by Cycles with one sample through the middle of each pixel, all materials replaced by one
that shines with the wanted numbers, into a float file. That works alike in every Blender version and in background mode, and
leaves scene, Render Result and settings as they are. Cut-outs and displacement of the replaced materials are not seen.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import bpy
import numpy as np

from ..protocol.errors import SourceUnusable
from . import compat
from .renders import check_camera
from .views import View, as_camera

_MARK = 0.25  # what the blue channel's fraction is wherever our material shines: lights and the like are told apart by it


def depth_and_objects(scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(depth, objects), H×W with row 0 on top, for a picture of `size` (width, height) that `scene`'s camera takes, or one of
    `view`. `depth`: metres along the camera's axis (float32), infinite where nothing is; a parallel projection has no point of
    sight, so there they are counted from as far before the nearest thing as the picture is wide, as a lens of 36 mm would see
    it. `objects` (float32): 0 where nothing is; the object's pass index where it has one, else a number below 1 that is its
    own. Raises SourceUnusable without a camera."""
    values, there, camera = _rendered(scene, size, _depth_nodes, view)
    index = np.rint(values[..., 2] - _MARK)
    own = 0.001 + 0.998 * values[..., 1]
    objects = np.where(there, np.where(index > 0, index, own), 0)
    depth = values[..., 0]
    if camera.width and there.any():
        depth = depth - depth[there].min() + camera.width
    return np.where(there, depth, np.inf).astype(np.float32), objects.astype(np.float32)


def normals(scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None) -> np.ndarray:
    """H×W×3 float32 unit vectors in the camera's space (x right, y up, z towards the viewer), 0 where nothing is, for a
    picture as `depth_and_objects` takes it. Shading normals, towards the viewer on both sides. Raises SourceUnusable."""
    values, there, camera = _rendered(scene, size, _normal_nodes, view)
    world = values[..., :3].astype(np.float64) * 2 - 1
    seen = world @ camera.rotation  # the rotation's transpose from the left, for row vectors
    length = np.linalg.norm(seen, axis=-1, keepdims=True)
    return np.where(there[..., None], seen / np.maximum(length, 1e-6), 0).astype(np.float32)


# ---- inside --------------------------------------------------------------------------------------------------------

Nodes = Callable[[bpy.types.NodeTree, bpy.types.NodeSocket], None]


def _depth_nodes(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> None:
    camera, info, combine, add = (tree.nodes.new(kind) for kind in (
        "ShaderNodeCameraData", "ShaderNodeObjectInfo", "ShaderNodeCombineXYZ", "ShaderNodeMath"))
    add.operation = "ADD"
    add.inputs[1].default_value = _MARK
    tree.links.new(info.outputs["Object Index"], add.inputs[0])
    tree.links.new(camera.outputs["View Z Depth"], combine.inputs[0])
    tree.links.new(info.outputs["Random"], combine.inputs[1])
    tree.links.new(add.outputs[0], combine.inputs[2])
    tree.links.new(combine.outputs[0], colour)


def _normal_nodes(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> None:
    geometry, half = tree.nodes.new("ShaderNodeNewGeometry"), tree.nodes.new("ShaderNodeVectorMath")
    half.operation = "MULTIPLY_ADD"
    half.inputs[1].default_value = half.inputs[2].default_value = (0.5, 0.5, 0.5)  # light cannot be negative
    tree.links.new(geometry.outputs["Normal"], half.inputs[0])
    tree.links.new(half.outputs[0], colour)


class _Camera(NamedTuple):
    """What is to be known of the camera that took a picture: how it is turned (3×3), and the width of a parallel projection, else 0."""

    rotation: np.ndarray
    width: float


def _rendered(scene: bpy.types.Scene, size: tuple[int, int], nodes: Nodes, view: View | None) -> tuple[np.ndarray, np.ndarray, _Camera]:
    """H×W×4 float32 that a material of `nodes` shines with, where it was seen (H×W bool), and by what."""
    if view is None:
        check_camera(scene)
    with tempfile.TemporaryDirectory(prefix="blender_sd-") as folder, _copy(scene, size, nodes, view) as copy:
        copy.render.filepath = os.path.join(folder, "numbers.exr")
        try:
            bpy.ops.render.render(scene=copy.name, write_still=True)
        except RuntimeError as error:
            raise SourceUnusable(f"Blender could not render: {str(error).strip().removeprefix('Error: ')}",
                                 "Look at the render settings.") from None
        values = _read(copy.render.filepath, size)
        data = copy.camera.data
        camera = _Camera(np.array(copy.camera.matrix_world.to_3x3().normalized()), data.ortho_scale if data.type == "ORTHO" else 0.0)
    there = values[..., 3] > 0.5
    if nodes is _depth_nodes:
        there &= np.abs(values[..., 2] - np.floor(values[..., 2]) - _MARK) < 1e-3
    return values, there, camera


@contextmanager
def _copy(scene: bpy.types.Scene, size: tuple[int, int], nodes: Nodes, view: View | None) -> Iterator[bpy.types.Scene]:
    """A copy of `scene` that renders numbers, as `view` sees it where that is given; removed at the end, with its material."""
    material = bpy.data.materials.new("Stable Diffusion numbers")
    copy = scene.copy()
    try:
        tree = compat.node_tree_of(material)
        tree.nodes.clear()
        emission, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
        tree.links.new(emission.outputs[0], output.inputs["Surface"])
        nodes(tree, emission.inputs["Color"])
        _set_up(copy, size)
        active = bpy.context.view_layer.name if bpy.context.scene == scene else scene.view_layers[0].name
        for layer in copy.view_layers:
            layer.use = layer.name == (active if view is None else view.layer)
            layer.material_override = material
        with nullcontext() if view is None else _seen_by(view, copy):
            yield copy
    finally:
        bpy.data.scenes.remove(copy)
        bpy.data.materials.remove(material)


@contextmanager
def _seen_by(view: View, copy: bpy.types.Scene) -> Iterator[None]:
    """`copy` with the view as its camera and what the view shows as all that is in it. The collections that it shares with the
    original are only let go of."""
    own = copy.collection
    for child in list(own.children):
        own.children.unlink(child)
    for thing in list(own.objects):
        own.objects.unlink(thing)
    for thing in view.objects:
        own.objects.link(thing)
    copy.render.pixel_aspect_x = copy.render.pixel_aspect_y = 1.0
    with as_camera(view.optics, copy):
        yield


def _set_up(copy: bpy.types.Scene, size: tuple[int, int]) -> None:
    render, cycles = copy.render, copy.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = 100
    for name in ("use_border", "use_compositing", "use_sequencer", "use_motion_blur", "use_freestyle", "use_multiview", "use_stamp",
                 "use_simplify"):
        setattr(render, name, False)
    render.film_transparent = True
    compat.still_picture_settings(render.image_settings)
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_mode, render.image_settings.color_depth = "RGBA", "32"
    cycles.device = "CPU"
    cycles.samples = 1
    cycles.use_adaptive_sampling = cycles.use_denoising = cycles.film_transparent_glass = False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 0.01
    cycles.film_exposure = 1.0
    cycles.sample_clamp_direct = 0.0
    cycles.max_bounces = 0


def _read(path: str, size: tuple[int, int]) -> np.ndarray:
    """The file's numbers, untouched by colour management, row 0 on top."""
    image = bpy.data.images.load(path, check_existing=False)
    try:
        image.colorspace_settings.name = "Non-Color"
        image.alpha_mode = "CHANNEL_PACKED"
        values = np.empty(size[0] * size[1] * 4, np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    return values.reshape(size[1], size[0], 4)[::-1].copy()
