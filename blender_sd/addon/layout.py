"""Small pieces that several panels draw."""
from __future__ import annotations

import textwrap

import bpy

TAB = "SD"
_GLYPH = 6.4  # pixels that a letter of the interface font takes on average, at a scale of 1
_UNIT = 20  # pixels that an icon takes
_MARGIN = 48  # pixels of a region that its tabs, boxes and scroll bar take


def wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE", taken: int = 0) -> None:
    """`text` as labels of the region's width: Blender's own labels are cut off instead of wrapped.

    `taken`: how much of the width other things in the row take, in units of a button's height.
    """
    scale = context.preferences.system.ui_scale
    pixels = (context.region.width / scale if context.region else 300) - _MARGIN - _UNIT * (taken + (icon != "NONE"))
    column = layout.column(align=True)
    column.scale_y = 0.8
    lines = textwrap.wrap(text, max(16, int(pixels / _GLYPH)))
    for number, line in enumerate(lines):
        if icon == "NONE":
            column.label(text=line)
        else:
            column.label(text=line, icon="BLANK1" if number else icon)
