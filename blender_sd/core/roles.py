"""Name what a result is, and how its values are meant."""
from __future__ import annotations

# Roles. Maps of a material (base colour, normal, height …) are roles too, once a task makes them.
PICTURE, SHEET, CONTROL = "picture", "contact sheet", "control image"
# Colour spaces, by Blender's names: as displayed, and numbers that are no colours.
SRGB, NON_COLOR = "sRGB", "Non-Color"
COLOUR_SPACES = (SRGB, NON_COLOR)
