"""What the maps of materials hold, for jobs that make a part of them and keep the rest."""
from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np

from ..core.errors import TargetUnusable
from ..core.roles import NORMAL
from ..protocol.messages import Source
from . import materials, shaders, uv
from .object_maps import INPUTS
from .shaders import Giver, Place
from .shapes import readable
from .sources import SourceLike, held_source
from .targets import find
from .triangles import Texture, mapping_in

_SIDE = 16  # pixels of a picture that holds one value


def held_maps(places: Iterable[tuple[Texture, int]]) -> dict[str, SourceLike]:
    """Return what the maps beside base colours hold now, as inputs for the engine: "normal0", "roughness0",
    "metallic0", …. Those of plain normals and of materials that are not there yet are left out.

    Args:
        places: The texture, and its tile or 0, of each image that is painted.

    Raises:
        TargetUnusable: A map is none that parts can be kept of, such as one of several that a node mixes.
    """
    result: dict[str, SourceLike] = {}
    for number, (texture, tile) in enumerate(places):
        if texture.material is None:
            continue
        for role in INPUTS:
            source = _held(find(texture.material), role, texture, tile)
            if source is not None:
                result[f"{role}{number}"] = source
    return result


def _held(material: bpy.types.Material, role: str, texture: Texture, tile: int) -> SourceLike | None:
    place = materials.input_of(material, INPUTS[role])
    if place is None:
        return None
    giver, end = shaders.feeding(place)
    if giver is not None and role == NORMAL:
        if not _reads_tangents(giver, texture):
            raise _mixed(material, role)
        giver, _ = shaders.feeding(Place(giver.node.inputs["Color"], giver.groups))
        if giver is None:
            return None
    if giver is None:
        return None if role == NORMAL else _constant(end.socket.default_value)
    node = giver.node
    if node.type != "TEX_IMAGE" or giver.socket.name != "Color" or node.image is None or not (
            node.image.colorspace_settings.is_data and _lies_alike(giver, material, texture)):
        raise _mixed(material, role)
    if not texture.uv_map:
        return None  # the mesh gets its UVs with the new maps
    return held_source(node.image, tile if node.image.source == "TILED" else 0, deep=True)


def _reads_tangents(giver: Giver, texture: Texture) -> bool:
    """Return whether what feeds a Normal input is a Normal Map node as they are put there."""
    node = giver.node
    if node.type != "NORMAL_MAP" or node.space != "TANGENT":
        return False
    strength = node.inputs["Strength"]
    return not strength.is_linked and strength.default_value == 1.0 and _named(node.uv_map, texture) == texture.uv_map


def _lies_alike(giver: Giver, material: bpy.types.Material, texture: Texture) -> bool:
    """Return whether an image lies on the faces as the base colour does."""
    mapping, base = shaders.mapping_of(giver.node, giver.groups), mapping_in(material)[1]
    return mapping.by_uv and _named(mapping.uv_map, texture) == texture.uv_map and np.allclose(
        mapping.matrix, base.matrix, atol=1e-6)


def _named(uv_map: str, texture: Texture) -> str:
    """Return the name of a UV map that nodes name, "" being the one for rendering."""
    with readable(find(texture.owners[0])) as mesh:
        rendered = uv.rendered(mesh)
        return uv_map if uv_map in mesh.uv_layers else rendered.name if rendered is not None else texture.uv_map


def _constant(value: float) -> Source:
    """Return a small picture of one value from 0 to 1."""
    pixels = np.full((_SIDE, _SIDE, 4), 255, np.uint8)
    pixels[..., :3] = round(min(max(value, 0.0), 1.0) * 255)
    return Source(pixels=pixels)


def _mixed(material: bpy.types.Material, role: str) -> TargetUnusable:
    slot = INPUTS[role]
    return TargetUnusable(f"A part of what '{material.name}' has in '{slot}' cannot be kept: it does not come from "
                          "one image that lies on the faces as the base color does.",
                          "Bake it to such an image, or leave out the mask and turn Fill on, or turn All Maps off.")
