"""An object's maps beside its base colour: normal, roughness and metallic images in the inputs of its materials."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import bpy

from ..core.errors import SDError, SourceUnusable, TargetUnusable
from ..core.roles import METALLIC, NORMAL, ROUGHNESS
from ..protocol.messages import Result
from . import images, materials, tiles
from .replacing import nodes_with
from .targets import find, lookup
from .triangles import Texture, mapping_in

INPUTS = {NORMAL: "Normal", ROUGHNESS: "Roughness", METALLIC: "Metallic"}
_AREA = 1e-6  # of the image's coordinates to those of the UV map, below which the mapping has squashed them
Loaded = Mapping[str, Sequence[bpy.types.Image]]


def check(textures: Iterable[Texture]) -> None:
    """Raise TargetUnusable if any texture cannot have maps beside its base colour."""
    for texture in textures:
        if texture.material is None:
            continue
        material = find(texture.material)
        turn = mapping_in(material)[1].matrix
        if abs(turn[0][0] * turn[1][1] - turn[0][1] * turn[1][0]) < _AREA:
            raise TargetUnusable(f"A Mapping node squashes the base color of '{material.name}' to a line, so a normal "
                                 "map has no directions there.", "Change its scale or rotation, or turn All Maps off.")
        for owner in texture.owners:
            for name in INPUTS.values():
                materials.check_place(find(owner), material, name)


def load(results: Sequence[Result], textures: Sequence[Texture]) -> Loaded:
    """Load the maps among a job's results as images, by role, in the order of the textures; none if it made none.

    Raises:
        SourceUnusable: A file is gone; then nothing has been changed.
    """
    loaded: dict[str, list[bpy.types.Image]] = {}
    try:
        for role in INPUTS:
            mine = [result for result in results if result.role == role]
            for result, texture in zip(mine, textures, strict=bool(mine)):
                owner = lookup(texture.owners[0])
                name = owner.name if owner is not None else texture.owners[0].name
                loaded.setdefault(role, []).append(images.load_result(result, f"{name} {role}"))
    except (SDError, ValueError) as error:
        bpy.data.batch_remove([image for several in loaded.values() for image in several])
        if isinstance(error, SDError):
            raise
        raise SourceUnusable("Some of the objects' maps are missing.", "Make them again.", repr(error)) from error
    return loaded


def put(maps: Loaded, shown: Sequence[bpy.types.Image], own: Mapping[Texture, bpy.types.Material],
        places: Sequence[tuple[Texture, int]]) -> None:
    """Put maps into the inputs of the materials whose base colours were just put there, mapped as those are. The maps
    of a UDIM image's tiles become one UDIM image.

    Args:
        maps: What `load` returned.
        shown: The base colour at each place.
        own: The material of each texture.
        places: The texture, and its tile or 0, of each map.

    Raises:
        TargetUnusable: An object was deleted meanwhile.
    """
    bases = {texture: base for (texture, _), base in zip(places, shown)}
    for role, several in maps.items():
        for texture, material in own.items():
            mine = {tile: image for image, (other, tile) in zip(several, places, strict=True) if other == texture}
            image = tiles.together(mine) if texture.udim else mine[0]
            put_image = materials.put(image, find(texture.owners[0]), INPUTS[role], material, own=True)
            _map_alike(material, bases[texture], put_image)
            if role == NORMAL:
                _use_tangents(material, put_image, texture.uv_map)
    for texture, material in own.items():
        base = bases[texture]
        for owner, node in nodes_with(base):
            if owner == material:  # Solid ▸ Texture shows the active node, and Texture Paint paints on it
                node.id_data.nodes.active = node


def _map_alike(material: bpy.types.Material, base: bpy.types.Image, image: bpy.types.Image) -> None:
    """Map an image's nodes as the base colour's node of the same tree."""
    model = next((node for owner, node in nodes_with(base) if owner == material), None)
    if model is None:
        return
    for owner, node in nodes_with(image):
        if owner != material:
            continue
        links, source = node.id_data.links, model.inputs["Vector"].links
        if source:
            links.new(source[0].from_socket, node.inputs["Vector"])
        else:
            for link in list(node.inputs["Vector"].links):
                links.remove(link)
        node.projection, node.extension = model.projection, model.extension


def _use_tangents(material: bpy.types.Material, image: bpy.types.Image, uv_map: str) -> None:
    """Let the Normal Map node that reads an image read it in the tangents of a UV map ("" for the one for rendering).
    """
    for owner, node in nodes_with(image):
        for link in node.outputs["Color"].links if owner == material else ():
            if link.to_node.type == "NORMAL_MAP":
                link.to_node.space, link.to_node.uv_map = "TANGENT", uv_map
                link.to_node.inputs["Strength"].default_value = 1.0
