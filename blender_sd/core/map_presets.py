"""How programs want a material's maps: names of files, direction of normals, and what is packed into one picture."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InvalidRequest
from .names import suggestion
from .roles import BASE_COLOUR, HEIGHT, METALLIC, NORMAL, OCCLUSION, ROUGHNESS

SMOOTHNESS, ONE = "smoothness", "one"  # what a channel may hold beside a role: 1 - roughness, and white


@dataclass(frozen=True)
class File:
    """One file of a preset: its name, "{}" standing for the material's, and its channels, each a role. A role with
    several channels of its own (base colour, normal) stands alone and fills the file."""

    name: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """A program's habits: its `label` and `tip`, the `files`, and whether green points down in normals (DirectX)."""

    label: str
    tip: str
    files: tuple[File, ...]
    down: bool = False


PRESETS: Mapping[str, Preset] = {
    "blender": Preset("Blender", "One file for each map, normals as in OpenGL", (
        File("{}_Base_Color", (BASE_COLOUR,)), File("{}_Normal", (NORMAL,)), File("{}_Height", (HEIGHT,)),
        File("{}_Roughness", (ROUGHNESS,)), File("{}_Metallic", (METALLIC,)), File("{}_AO", (OCCLUSION,)))),
    "gltf": Preset("glTF", "Occlusion, roughness and metallic in one file, normals as in OpenGL", (
        File("{}_baseColor", (BASE_COLOUR,)), File("{}_normal", (NORMAL,)), File("{}_height", (HEIGHT,)),
        File("{}_occlusionRoughnessMetallic", (OCCLUSION, ROUGHNESS, METALLIC)))),
    "unreal": Preset("Unreal", "Occlusion, roughness and metallic in one file, normals as in DirectX", (
        File("T_{}_BC", (BASE_COLOUR,)), File("T_{}_N", (NORMAL,)), File("T_{}_H", (HEIGHT,)),
        File("T_{}_ORM", (OCCLUSION, ROUGHNESS, METALLIC))), down=True),
    "unity": Preset("Unity", "Metallic, occlusion and smoothness in one file, normals as in OpenGL", (
        File("{}_BaseMap", (BASE_COLOUR,)), File("{}_Normal", (NORMAL,)), File("{}_Height", (HEIGHT,)),
        File("{}_MaskMap", (METALLIC, OCCLUSION, ONE, SMOOTHNESS)))),
}


def preset_named(name: str) -> Preset:
    """Return the preset of that name. Raises InvalidRequest."""
    if name not in PRESETS:
        raise InvalidRequest(f"There is no preset called '{name:.40}'.", suggestion(name, PRESETS))
    return PRESETS[name]
