"""Name what a result is, and how its values are meant."""
from __future__ import annotations

# Roles.
PICTURE, SHEET, CONTROL, BASE_COLOUR = "picture", "contact sheet", "control image", "base colour"
LIGHT = "scene-linear picture"  # the picture before it, with the depth of its source
NORMAL, HEIGHT, ROUGHNESS, METALLIC, OCCLUSION = "normal", "height", "roughness", "metallic", "occlusion"
MAPS = (BASE_COLOUR, NORMAL, HEIGHT, ROUGHNESS, METALLIC, OCCLUSION)  # of a material, in the order they are made
BAKE_PICTURES = ("coverage", "weights", "best view", "seams")  # pictures about a bake, in the objects' UVs
KNOWN = frozenset((PICTURE, SHEET, CONTROL, *MAPS, *BAKE_PICTURES))
# Colour spaces, by Blender's names: as displayed, numbers that are no colours, and light.
SRGB, NON_COLOR, LINEAR = "sRGB", "Non-Color", "Linear Rec.709"
COLOUR_SPACES = (SRGB, NON_COLOR, LINEAR)
