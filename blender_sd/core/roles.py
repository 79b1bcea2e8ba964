"""Name what a result is, and how its values are meant."""
from __future__ import annotations

# Roles. Other maps of a material (normal, height …) are roles too, once a task makes them.
PICTURE, SHEET, CONTROL, BASE_COLOUR = "picture", "contact sheet", "control image", "base colour"
# Colour spaces, by Blender's names: as displayed, and numbers that are no colours.
SRGB, NON_COLOR = "sRGB", "Non-Color"
COLOUR_SPACES = (SRGB, NON_COLOR)
