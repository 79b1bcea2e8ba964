"""Small pieces that several panels draw."""
from __future__ import annotations

import textwrap

import bpy

_GLYPH = 6.4  # pixels that a letter of the interface font takes on average, at a scale of 1
_MARGIN = 56  # pixels of a region that boxes, icons and the scroll bar take


def wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """`text` as labels of the region's width: Blender's own labels are cut off instead of wrapped."""
    scale = context.preferences.system.ui_scale
    letters = int((context.region.width / scale - _MARGIN) / _GLYPH) if context.region else 40
    column = layout.column(align=True)
    column.scale_y = 0.8
    lines = textwrap.wrap(text, max(18, letters))
    for number, line in enumerate(lines):
        if icon == "NONE":
            column.label(text=line)
        else:
            column.label(text=line, icon="BLANK1" if number else icon)
