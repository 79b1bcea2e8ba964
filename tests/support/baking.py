"""A cube's cameras, flat pictures, and what a bake has put into the middle of a face."""
from __future__ import annotations

import bpy
import numpy as np

from blender_sd.scene import materials

FACES = {"front": ((0, -6, 0), (np.pi / 2, 0, 0)), "right": ((6, 0, 0), (np.pi / 2, 0, np.pi / 2)),
         "top": ((0, 0, 6), (0, 0, 0))}
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
UP, FRONT, RIGHT = (0, 0, 1), (0, -1, 0), (1, 0, 0)


def camera(name: str, scale: float = 1.0) -> bpy.types.Object:
    """Return a new camera that looks at the origin from one of FACES, six units (times `scale`) away."""
    place, turn = FACES[name]
    data = bpy.data.cameras.new(name)
    made = bpy.data.objects.new(name, data)
    made.location, made.rotation_euler = np.multiply(place, scale), turn
    data.lens, data.clip_start, data.clip_end = 60, 0.1 * scale, 100 * scale
    bpy.context.collection.objects.link(made)
    return made


def flat(*colour: int, side: int = 64) -> np.ndarray:
    """Return a picture of one colour, 0 to 255."""
    return np.full((side, side, 4), (*colour, 255), np.uint8)


def shown(obj: bpy.types.Object, slot: int = 0) -> bpy.types.Image:
    """Return the image of the base colour in a material slot."""
    return materials.base_color_node(obj.material_slots[slot].material).image


def colour_at(obj: bpy.types.Object, face: int, image: bpy.types.Image | None = None, uv_map: str = "") -> np.ndarray:
    """Return the image's colour (0 to 255) in the middle of one of the object's faces."""
    image = image or shown(obj)
    mesh = obj.data
    layer = mesh.uv_layers[uv_map] if uv_map else mesh.uv_layers.active
    u, v = np.mean([layer.uv[loop].vector for loop in mesh.polygons[face].loop_indices], axis=0)
    width, height = image.size
    pixels = np.array(image.pixels[:]).reshape(height, width, 4)
    return np.rint(pixels[int(v % 1 * height), int(u % 1 * width)] * 255)[:3]


def face_towards(obj: bpy.types.Object, direction: tuple[float, float, float]) -> int:
    """Return the number of the face that looks most in a direction of the object's own space."""
    return max(range(len(obj.data.polygons)), key=lambda number: obj.data.polygons[number].normal.dot(direction))


def is_near(one: np.ndarray, other: tuple[int, int, int], by: float = 1.0) -> bool:
    """Return whether two colours are the same but for rounding."""
    return bool(np.abs(one - other).max() <= by)
