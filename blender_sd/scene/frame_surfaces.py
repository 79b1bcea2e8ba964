"""The surfaces of one frame as its render sees them: modifiers at their render levels, instances, all layers rendered.

Only a render engine is handed the scene as it is evaluated for a render. So an engine of our own "renders" the frame:
it reads the meshes and draws nothing, which takes about as long as evaluating the scene.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import SDError, SourceUnusable
from ..protocol.surfaces import Lens
from . import frames, handlers
from .control_scene import is_surface
from .lenses import camera_lens
from .shapes import Shape, read_mesh

_SHAPES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
_SWITCHES = ("use_compositing", "use_sequencer", "use_multiview", "use_stamp", "use_border")


@dataclass(frozen=True, eq=False)
class Part:
    """One object, or one instance of it, in a frame.

    Attributes:
        key: What it is called in every frame: the object, what instances it, and which instance it is.
        name: The object's name.
        vertices: V×3 float32, in the world.
        signature: A digest of how its vertices are connected.
        shape: Its mesh, for `triangles`.
        mirrored: Whether its triangles must be turned to face outwards.
    """

    key: str
    name: str
    vertices: np.ndarray
    signature: str
    shape: Shape
    mirrored: bool

    def triangles(self) -> np.ndarray:
        """Return T×3 int32 indices of its vertices, anticlockwise as seen from outside."""
        triangles = self.shape.corners[self.shape.loops]
        return triangles[:, ::-1] if self.mirrored else triangles


@dataclass(frozen=True, eq=False)
class FrameSurfaces:
    """What was read of a frame: its parts, and the camera."""

    parts: tuple[Part, ...]
    lens: Lens


def surfaces_of_frame(scene: bpy.types.Scene) -> FrameSurfaces:
    """Return the surfaces in the current frame of `scene`, and its camera for the picture that a render makes.

    Blender must not be rendering; it is blocked meanwhile. Renders of our own call no handlers.

    Raises:
        SourceUnusable: There is no camera, it is panoramic, or the scene cannot be evaluated.
    """
    handlers.check_render()
    camera = frames.camera_of(scene)
    _Reader.camera, _Reader.parts, _Reader.lens, _Reader.error = camera, {}, None, None
    try:
        with handlers.quiet(), _reading(scene):
            bpy.ops.render.render(scene=scene.name)
    except RuntimeError as error:
        raise SourceUnusable(f"The scene cannot be evaluated: {str(error).strip().removeprefix('Error: ')}",
                             "Look at the render settings.") from None
    finally:
        parts, lens, error = _Reader.parts, _Reader.lens, _Reader.error
        _Reader.camera, _Reader.parts, _Reader.lens, _Reader.error = None, {}, None, None
    if error is not None:
        raise error
    if lens is None:
        raise SourceUnusable("No view layer of the scene is rendered.", "Switch on 'Use for Rendering' of one.")
    return FrameSurfaces(tuple(parts.values()), lens)


def lens_of_render(camera: bpy.types.Object, scene: bpy.types.Scene, graph: bpy.types.Depsgraph) -> Lens:
    """Return the lens of the picture that a render of `scene` has: all of the camera's frame, or what it is cropped to.

    Raises SourceUnusable as `camera_lens` does.
    """
    size, region = frames.full_size(scene), frames.region_of(scene)
    lens = camera_lens(camera, scene, graph, size)
    if region.size == size:
        return lens
    width, height = region.size
    return Lens(lens.origin, lens.axes, lens.scale_x, lens.scale_y, lens.centre_x - region.left,
                lens.centre_y - (size[1] - region.top), width, height, lens.perspective, lens.near, lens.far)


# ---- inside --------------------------------------------------------------------------------------------------------


class _Reader(bpy.types.RenderEngine):
    """Read what there is to render. Blender makes an object of this class for each render, so the class holds both
    what is asked for and what was read."""

    bl_idname = "SD_READ_SURFACES"
    bl_label = "Stable Diffusion: surfaces"
    bl_use_preview = False

    camera: bpy.types.Object | None = None
    parts: dict[str, Part] = {}
    lens: Lens | None = None
    error: SDError | None = None

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Read one view layer. Blender prints what is raised here and goes on, so errors are kept."""
        kind = type(self)
        try:
            kind.lens = lens_of_render(kind.camera, depsgraph.scene_eval, depsgraph)
            kind.parts |= {part.key: part for part in _parts(depsgraph) if part.key not in kind.parts}
        except SDError as error:
            kind.error = error
        except Exception as error:  # a mesh that cannot be read must not pass for an empty scene
            kind.error = SourceUnusable("The surfaces of a frame cannot be read.", "Look at the objects' modifiers.",
                                        repr(error))


@contextmanager
def _reading(scene: bpy.types.Scene) -> Iterator[None]:
    """Return a context in which `scene` is rendered by `_Reader`, and nothing else happens in a render."""
    render = scene.render
    before = [(name, getattr(render, name)) for name in ("engine", *_SWITCHES)]
    cropped = render.use_border and render.use_crop_to_border
    bpy.utils.register_class(_Reader)
    try:
        render.engine = _Reader.bl_idname
        for name in _SWITCHES:
            setattr(render, name, cropped if name == "use_border" else False)
        yield
    finally:
        for name, value in before:
            setattr(render, name, value)
        bpy.utils.unregister_class(_Reader)


def _parts(graph: bpy.types.Depsgraph) -> Iterator[Part]:
    shapes: dict[int, tuple[Shape, str] | None] = {}
    for instance in graph.object_instances:
        placed = instance.object
        thing = placed.original
        if placed.type not in _SHAPES or not instance.show_self or not thing.visible_camera or not is_surface(thing):
            continue
        pointer = placed.data.as_pointer() if placed.type == "MESH" else placed.as_pointer()
        if pointer not in shapes:
            shapes[pointer] = _shape(placed)
        if (read := shapes[pointer]) is None:
            continue
        shape, digest = read
        matrix = np.array(instance.matrix_world, np.float64)
        mirrored = bool(np.linalg.det(matrix[:3, :3]) < 0)
        vertices = (shape.vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
        yield Part(_key(instance, thing), thing.name, vertices, f"{digest}{'m' if mirrored else ''}", shape, mirrored)


def _key(instance: bpy.types.DepsgraphObjectInstance, thing: bpy.types.Object) -> str:
    """Return what an object is called in every frame. Blender keeps the numbers of instances apart and stable."""
    if not instance.is_instance:
        return thing.name_full
    number = ",".join(str(part) for part in instance.persistent_id if part != 0x7FFFFFFF)
    parent = instance.parent.original.name_full if instance.parent is not None else ""
    return f"{parent}/{number}/{thing.name_full}"


def _shape(placed: bpy.types.Object) -> tuple[Shape, str] | None:
    """Return an evaluated object's mesh and a digest of how it is connected; None if it has no faces."""
    own = placed.type == "MESH"
    mesh = placed.data if own else placed.to_mesh()
    try:
        if mesh is None or not len(mesh.polygons):
            return None
        shape = read_mesh(mesh)
    finally:
        if not own:
            placed.to_mesh_clear()
    digest = hashlib.blake2b(f"{len(shape.vertices)}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(shape.corners).data)
    digest.update(np.ascontiguousarray(shape.polygons).data)
    return shape, digest.hexdigest()
