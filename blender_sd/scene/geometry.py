"""What the camera or a 3D View sees, as numbers: depth, normals and object numbers, exactly as Blender's renderer finds
them.

Cycles renders the scene that `control_scene` builds with one sample through the middle of each pixel; its passes are
read from an uncompressed file. It writes them where a surface covers at least half of what lies behind it, so cut-outs
are holes. That works alike in every Blender version and in background mode, and leaves scene, Render Result and
settings as they are.
"""
from __future__ import annotations

import os
import tempfile
import zlib
from typing import NamedTuple

import bpy
import numpy as np

from ..core.errors import SourceUnusable
from ..protocol import exr_files
from . import compat, handlers
from .control_scene import Stage, stage
from .views import View

_FAR = 1e9  # metres; if a ray meets nothing, Cycles writes 1e10


class Seen(NamedTuple):
    """The passes of a picture, H×W, row 0 on top.

    Attributes:
        depth: float32, metres along the camera's axis (from its point for a panorama), infinite where nothing is. A
            parallel projection has no viewpoint; there the nearest thing is as far away as the picture is wide, as a
            lens of 36 mm would see it.
        normals: ×3, float32: unit vectors in the camera's space (x right, y up, z towards the viewer), 0 where nothing
            is; shading normals, towards the viewer on both sides.
        objects: float32; 0 where nothing is, the object's pass index if it has one, otherwise a number below 1 from its
            name.
    """

    depth: np.ndarray
    normals: np.ndarray
    objects: np.ndarray


def look(scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None,
         covers: tuple[int, int] | None = None) -> Seen:
    """Return what a camera sees.

    Args:
        scene: The scene; its camera is used if there is no `view`.
        size: (width, height) of the picture in pixels.
        view: A 3D View's view instead of the camera's.
        covers: As in `frames.set_frame`.

    Raises:
        SourceUnusable: There is no camera, or the call comes from a render handler.
    """
    handlers.check_render()
    with handlers.quiet(), stage(scene, size, view, covers) as made:
        configure_exact(made.scene)
        passes = rendered(made.scene)
        camera = made.scene.camera
        rotation = np.array(camera.matrix_world.to_3x3().normalized())
        width = camera.data.ortho_scale if camera.type == "CAMERA" and camera.data.type == "ORTHO" else 0.0
        depth = passes.channels["Depth.Z"]
        there = (depth > 0) & (depth < _FAR)
        objects = np.where(there, _numbers(passes, made), 0)
    if width and there.any():
        depth = depth - depth[there].min() + width
    world = np.stack([passes.channels[f"Normal.{axis}"] for axis in "XYZ"], -1).astype(np.float64)
    turned = world @ rotation  # the rotation's transpose from the left, for row vectors
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    return Seen(np.where(there, depth, np.inf).astype(np.float32),
                np.where(there[..., None], turned / np.maximum(length, 1e-6), 0).astype(np.float32),
                objects.astype(np.float32))


def rendered(scene: bpy.types.Scene) -> exr_files.Passes:
    """Render a scene that is configured to write its passes uncompressed, and return them. Raises SourceUnusable."""
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "numbers.exr")
        write_passes(scene, path)
        with open(path, "rb") as file:
            return exr_files.read_passes(file.read())


def write_passes(scene: bpy.types.Scene, path: str) -> None:
    """Render such a scene into a file. Raises SourceUnusable."""
    scene.render.filepath = path
    try:
        bpy.ops.render.render(scene=scene.name, write_still=True)
        os.stat(path)
    except (RuntimeError, OSError) as error:
        raise SourceUnusable(f"Blender could not render: {str(error).strip().removeprefix('Error: ')}",
                             "Look at the render settings.") from None


def configure(scene: bpy.types.Scene, samples: int, levels: int) -> None:
    """Have `scene` render numbers: no light, `samples` a pixel, Cryptomatte of objects with `levels`, one plain file.
    """
    render, cycles, layer = scene.render, scene.cycles, scene.view_layers[0]
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    cycles.max_bounces = 0
    layer.use_pass_cryptomatte_object = True
    layer.pass_cryptomatte_depth = levels
    compat.multilayer_settings(render.image_settings)
    render.image_settings.color_depth, render.image_settings.exr_codec = "32", "NONE"


def configure_exact(scene: bpy.types.Scene) -> None:
    """Have `scene` render numbers through the middle of each pixel."""
    configure(scene, 1, 2)
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = True


def _numbers(passes: exr_files.Passes, made: Stage) -> np.ndarray:
    """Return for each pixel the number of the object that it shows most of."""
    bits = np.ascontiguousarray(passes.channels["CryptoObject00.r"]).view(np.uint32)
    seen, places = np.unique(bits, return_inverse=True)
    return np.array([_number(passes.names.get(int(bit), ""), made) for bit in seen])[places.reshape(bits.shape)]


def _number(name: str, made: Stage) -> float:
    thing = made.names.get(name) or bpy.data.objects.get(name)
    return number_of(thing) if thing is not None else _hashed(name)


def number_of(thing: bpy.types.Object) -> float:
    """Return the number that `Seen.objects` has for an object."""
    return float(thing.pass_index) or _hashed(thing.name)


def _hashed(name: str) -> float:
    return 0.001 + 0.998 * zlib.crc32(name.encode()) / 0xFFFFFFFF
