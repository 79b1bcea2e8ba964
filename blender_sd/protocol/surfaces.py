"""Surfaces and cameras as arrays, as they travel from Blender to the engine that bakes pictures onto them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

OCCLUDER = -1  # the texture of triangles that are only in the way


@dataclass(frozen=True, eq=False)
class Triangles:
    """Triangles of all objects in view, in the world.

    Attributes:
        vertices: V×3 float32, metres.
        triangles: T×3 int32 indices of vertices, anticlockwise as seen from outside.
        uv: T×3×2 float32 texture coordinates of each triangle's corners, v upwards.
        objects: T int32, one number for each object in the picture, instances counted singly.
        textures: T int32 indices of textures; OCCLUDER for triangles without one.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    objects: np.ndarray
    textures: np.ndarray


@dataclass(frozen=True, eq=False)
class Bare:
    """A mesh that needs UVs first.

    Attributes:
        vertices: V×3 float32, in the mesh's own space.
        triangles: T×3 int32 indices of vertices.
        polygons: T int32, the polygon of each triangle.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    polygons: np.ndarray


@dataclass(frozen=True)
class Lens:
    """A camera without distortion, in numbers.

    A point that lies `right`, `up` and `depth` from it along its axes is seen at pixel x = scale_x·right/depth +
    centre_x, y = centre_y − scale_y·up/depth; without the division if it is not `perspective`. Row 0 is on top.

    Attributes:
        origin: Its place in the world, metres.
        axes: Nine numbers: unit vectors that point right, up and forward.
        scale_x, scale_y: Pixels per unit.
        centre_x, centre_y: Pixels.
        width, height: The picture's size in pixels.
        perspective: Whether it is a perspective camera, else an orthographic one.
        near, far: Depths between which things are drawn, metres.
    """

    origin: tuple[float, ...]
    axes: tuple[float, ...]
    scale_x: float
    scale_y: float
    centre_x: float
    centre_y: float
    width: int
    height: int
    perspective: bool
    near: float
    far: float


@dataclass(frozen=True)
class Onto:
    """An image that is baked.

    Attributes:
        texture: The number of its texture (`Triangles.textures`).
        width, height: Its size in texels.
        udim: The number of its tile, 1001 and up; 0 for an ordinary image, which repeats.
        background: Red, green, blue in linear light for texels that nothing is baked into, where there is no image.
        turn: What takes directions in the UV map to those in the image, 2×2 by rows: a Mapping node may turn it.
    """

    texture: int
    width: int
    height: int
    udim: int = 0
    background: tuple[float, ...] = (0.8, 0.8, 0.8)
    turn: tuple[float, ...] = (1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Scenery:
    """What pictures are baked onto, and the cameras that they are seen by.

    Attributes:
        triangles: Everything in view.
        lenses: A camera for each picture.
        sheets: The images to bake; the results come in their order.
        made_by: The names of the models that painted the pictures; () if none did.
        debug: The pictures about the bake that are wanted too: some of `core.roles.BAKE_PICTURES`.
    """

    triangles: Triangles
    lenses: tuple[Lens, ...]
    sheets: tuple[Onto, ...]
    made_by: tuple[str, ...] = ()
    debug: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Unwrapping:
    """What pictures are baked onto, once some meshes have UVs. It stays on Blender's side.

    Attributes:
        meshes: The meshes without UVs.
        scenery: Called on the main thread with the UVs of each, T×3×2 float32 for its triangles' corners; returns a
            function that any thread may call for the scenery. It may raise SDError.
    """

    meshes: tuple[Bare, ...]
    scenery: Callable[[tuple[np.ndarray, ...]], Callable[[], Scenery]]
