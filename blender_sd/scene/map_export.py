"""Write the maps of a material as files, named and packed as other programs want them."""
from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np

from ..core.errors import OutputUnwritable, TargetUnusable
from ..core.map_presets import ONE, SMOOTHNESS, File, Preset
from ..core.roles import BASE_COLOUR, HEIGHT, MAPS, NORMAL, ROUGHNESS
from ..core.texts import file_stem
from ..library import files
from ..protocol import png_arrays
from . import images, pixels
from .material_maps import picture_node, relief_of, strength_of
from .targets import find, identity

_DEEP = (NORMAL, HEIGHT)  # maps whose 16 bits are kept


def maps_in(material: bpy.types.Material) -> dict[str, bpy.types.Image]:
    """Return the images of a material that `material_maps.build` made, by role.

    Raises:
        TargetUnusable: It has none.
    """
    nodes = material.node_tree.nodes if material.node_tree is not None else {}
    textures = {role: node.image for role in MAPS
                if (node := nodes.get(picture_node(role))) is not None and getattr(node, "image", None) is not None}
    if BASE_COLOUR not in textures:
        raise TargetUnusable(f"'{material.name}' is no material of maps, so it has none to export.",
                             "Choose one that was made by Material from Prompt or Maps from Image.")
    return textures


class Export:
    """Write a material's maps as PNG files. Files of the same names are replaced; each appears only when complete.

    Call `read` on the main thread until it returns False; then `write` on any thread.
    """

    def __init__(self, material: bpy.types.Material, folder: str, preset: Preset, name: str = "") -> None:
        """Check that the maps can be exported; no pixels are read yet.

        Args:
            material: One that `material_maps.build` made.
            folder: Where they go; made if missing.
            preset: How.
            name: What stands in the files' names; by default the material's name.

        Raises:
            TargetUnusable: The material has no maps, or some of different sizes belong into one file.
            SourceUnusable: A map's image has no pixels.
        """
        textures = maps_in(material)
        self._folder, self._preset, self._stem = folder, preset, file_stem(name or material.name) or "material"
        self._waiting = {role: identity(image) for role, image in textures.items()}
        self._deep = {role for role in _DEEP if role in textures and textures[role].is_float}
        self._values: dict[str, np.ndarray] = {}
        self._relief = strength_of(material) if relief_of(material) else 1.0
        sizes = {role: images.size_of(image) for role, image in textures.items()}
        if any(len({size for role, size in sizes.items() if role in _roles(item)}) > 1 for item in preset.files):
            raise TargetUnusable(f"The maps of '{material.name}' have different sizes, so they cannot be packed into "
                                 "one file.", "Choose a preset with a file for each map, or give the images one size.")

    def read(self) -> bool:
        """Read the pixels of one map; return whether there are more. Raises TargetUnusable if its image is gone, and
        SourceUnusable if it has no pixels any more."""
        if self._waiting:
            role = next(iter(self._waiting))
            self._values[role] = _values(find(self._waiting.pop(role)))
        return bool(self._waiting)

    def write(self) -> list[Path]:
        """Write the files; return them in the preset's order. Raises OutputUnwritable."""
        written = []
        if NORMAL in self._values and self._relief != 1.0:
            self._values[NORMAL] = _with_relief(self._values[NORMAL][..., :3], self._relief)
        for item in self._preset.files:
            if not set(item.channels) & set(self._values):
                continue
            most = 65535 if item.channels[0] in self._deep else 255
            array = _array(item, self._values, self._preset.down)
            packed = io.BytesIO()
            png_arrays.write((array * most + 0.5).astype(np.uint16 if most > 255 else np.uint8), packed)
            path = os.path.join(self._folder, f"{item.name.format(self._stem)}.png")
            try:
                files.make_folder(self._folder)
                files.write_whole(path, packed.getvalue())
            except OSError as error:
                raise OutputUnwritable(f"The maps cannot be written to {self._folder}.", "Choose another folder.",
                                       repr(error)) from None
            written.append(Path(path))
        return written


def export(material: bpy.types.Material, folder: str, preset: Preset, name: str = "") -> list[Path]:
    """Write a material's maps as PNG files at once; return them. Arguments and errors as for `Export` and its methods.
    """
    task = Export(material, folder, preset, name)
    while task.read():
        pass
    return task.write()


def _values(image: bpy.types.Image) -> np.ndarray:
    """Return an image's values (H, W, C) 0 to 1 as its file has them, row 0 on top; colours with the sRGB curve."""
    width, height = images.size_of(image)
    flat = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(flat)
    values = np.clip(flat.reshape(height, width, image.channels)[::-1], 0, 1)
    if image.is_float and not image.colorspace_settings.is_data:  # Blender has them in linear light
        values[..., :3] = pixels.srgb_from_linear(values[..., :3])
    return values


def _with_relief(normal: np.ndarray, strength: float) -> np.ndarray:
    """Return normals (H, W, 3), 0 to 1, as a Normal Map node of that strength shows them."""
    vectors = normal * 2.0 - 1.0
    vectors[..., :2] *= strength
    vectors[..., 2] = 1.0 + (vectors[..., 2] - 1.0) * min(max(strength, 0.0), 1.0)
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    return vectors / length * 0.5 + 0.5


def _array(item: File, values: Mapping[str, np.ndarray], down: bool) -> np.ndarray:
    first = item.channels[0]
    if len(item.channels) > 1:
        size = next(values[role].shape[:2] for role in _roles(item) if role in values)
        return np.concatenate([_channel(role, values, size) for role in item.channels], -1)
    if first == BASE_COLOUR:
        base = values[first]
        return base if base.shape[2] == 4 and base[..., 3].min() < 1 else base[..., :3]
    if first != NORMAL:
        return values[first][..., :1]
    normal = values[first][..., :3].copy()
    if down:
        normal[..., 1] = 1.0 - normal[..., 1]
    return normal


def _roles(item: File) -> set[str]:
    """Return the maps that a file is made of."""
    return {ROUGHNESS if role == SMOOTHNESS else role for role in item.channels}


def _channel(role: str, values: Mapping[str, np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """Return one channel (H, W, 1) of `size` (height, width) by its role; white where the material lacks it."""
    if role == SMOOTHNESS and ROUGHNESS in values:
        return 1.0 - values[ROUGHNESS][..., :1]
    if role == ONE or role not in values:
        return np.ones((*size, 1), np.float32)
    return values[role][..., :1]
