"""The row with the style, and its menus. `draw` only reads what the shelf of styles holds in memory."""
from __future__ import annotations

from itertools import groupby

import bpy

from ... import stylebook
from ...protocol.styles import Style
from ..layout import wrapped

_OTHER = "Other"


class SD_MT_styles(bpy.types.Menu):
    """All styles, a column for each group. Type to search"""

    bl_idname = "SD_MT_styles"
    bl_label = "Style"
    bl_options = {"SEARCH_ON_KEY_PRESS"}

    def draw(self, _context) -> None:
        layout = self.layout
        layout.operator("sd.choose_style", text="No Style", icon="X").style = ""
        layout.separator()
        row = layout.row()
        for group, styles in groupby(sorted(stylebook.known_styles(), key=_place_of), key=_group_of):
            column = row.column()
            column.label(text=group)
            column.separator()
            for style in styles:
                icon = "USER" if style.own else "NONE"
                column.operator("sd.choose_style", text=style.name, icon=icon, translate=False).style = style.name


class SD_MT_style_edit(bpy.types.Menu):
    """What can be done with styles"""

    bl_idname = "SD_MT_style_edit"
    bl_label = "Style Actions"

    def draw(self, _context) -> None:
        layout = self.layout
        layout.operator("sd.edit_style", text="Edit Style", icon="GREASEPENCIL")
        layout.operator("sd.delete_style", text="Delete Style", icon="TRASH")
        layout.separator()
        layout.operator("sd.import_styles", text="Import Styles", icon="IMPORT")
        layout.operator("sd.export_style", text="Export Style", icon="EXPORT")
        layout.operator("sd.open_styles", text="Open Style Folder", icon="FILE_FOLDER")
        layout.operator("sd.reload_styles", text="Reload Styles", icon="FILE_REFRESH")


def draw_style(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The style's row, and a line for what cannot be read."""
    name = context.scene.sd.style
    row = layout.row(align=True)
    missing = bool(name and stylebook.known_styles() and stylebook.known_style(name) is None)
    chosen = row.row(align=True)
    chosen.alert = missing
    chosen.menu("SD_MT_styles", text=name or "No Style", icon="ERROR" if missing else "BRUSHES_ALL", translate=not name)
    row.operator("sd.save_style", text="", icon="ADD")
    row.menu("SD_MT_style_edit", text="", icon="DOWNARROW_HLT")
    if missing:
        wrapped(layout, context, f"There is no style called '{name}' in the folders.", "ERROR")
    problems = stylebook.problems()
    if problems:
        more = f" ({len(problems) - 1} more in the log.)" if len(problems) > 1 else ""
        wrapped(layout, context, f"The style {problems[0]}{more}", "ERROR")


def _group_of(style: Style) -> str:
    return style.group or _OTHER


def _place_of(style: Style) -> tuple:
    return style.group == "", _group_of(style).casefold(), style.name.casefold()


CLASSES = (SD_MT_styles, SD_MT_style_edit)
