"""What panels are made of: their base, their places, and small pieces that several draw."""
from __future__ import annotations

import textwrap

import bpy

TAB = "SD"
_EDITORS = {"view3d": "VIEW_3D", "image": "IMAGE_EDITOR", "shader": "NODE_EDITOR"}
_GLYPH = 6.4  # pixels that a letter of the interface font takes on average, at a scale of 1
_UNIT = 20  # pixels that an icon takes
_MARGIN = 48  # pixels of a region that its tabs, boxes and scroll bar take


class Panel:
    """What all panels of the tab share."""

    bl_region_type = "UI"
    bl_category = TAB

    @classmethod
    def poll(cls, context):
        return context.space_data.type != "NODE_EDITOR" or context.space_data.tree_type == "ShaderNodeTree"

    def split(self) -> bpy.types.UILayout:
        """A column with labels on the left of the fields, as Blender's own panels have."""
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        return column


def place(panel: type[Panel], *editors: str) -> tuple[type[bpy.types.Panel], ...]:
    """`panel` as one registrable class per editor: SD_PT_<editor>_<panel>."""
    name = panel.__name__.strip("_").lower()
    return tuple(
        type(f"SD_PT_{editor}_{name}", (panel, bpy.types.Panel),
             {"bl_idname": f"SD_PT_{editor}_{name}", "bl_space_type": _EDITORS[editor], "__doc__": panel.__doc__})
        for editor in editors)


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
