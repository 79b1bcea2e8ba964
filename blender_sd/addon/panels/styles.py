"""Draw the row with the style, and its menus. `draw` only reads the styles in memory."""
from __future__ import annotations

from itertools import groupby

import bpy

from ...calls import styles as styles_calls
from ...core.style_format import Style
from .. import style_icons
from ..layout import STYLES, wrapped
from ..translations.words import translated
from .base import Popover, popover

_OTHER = "Other"
_ACROSS = 4  # thumbnails in a row of a group
_SCALE = 3.2  # of a thumbnail, in units of a button's height


class Styles(Popover):
    """All styles with a picture of each, by group"""

    bl_idname = STYLES
    bl_label = "Styles"
    bl_ui_units_x = 40

    def draw_content(self, context) -> None:
        settings = context.scene.sd
        self.layout.operator("sd.choose_style", text="No Style", icon="X", depress=not settings.style).style = ""
        halves = self.layout.split(factor=0.5)
        styles = sorted(styles_calls.known_styles(), key=_place_of)
        for groups in _columns([(name, list(members)) for name, members in groupby(styles, _group_of)]):
            column = halves.column()
            for group, members in groups:
                column.label(text=translated(group), translate=False)
                grid = column.grid_flow(row_major=True, columns=_ACROSS, even_columns=True, even_rows=True, align=True)
                for style in members:
                    _draw_style_cell(grid.column(align=True), style, settings)
                for _ in range(_ACROSS - len(members)):  # empty cells keep a few pictures as small as many
                    grid.label(text="")


def _draw_style_cell(cell: bpy.types.UILayout, style: Style, settings: bpy.types.PropertyGroup) -> None:
    cell.enabled = not styles_calls.refusal(style, settings.model)
    cell.template_icon(icon_value=style_icons.icon_of(style.name), scale=_SCALE)
    cell.operator("sd.choose_style", text=style.name, translate=False,
                  depress=settings.style == style.name).style = style.name


def _columns(groups: list[tuple[str, list[Style]]]) -> list[list[tuple[str, list[Style]]]]:
    """Return the groups in two columns of about the same height."""
    heights = [1 + 4 * -(-len(members) // _ACROSS) for _, members in groups]
    columns: list[list] = [[], []]
    filled = [0, 0]
    for height, group in sorted(zip(heights, groups, strict=True), key=lambda pair: -pair[0]):
        shorter = filled.index(min(filled))
        columns[shorter].append(group)
        filled[shorter] += height
    return columns


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
    """Draw the row with the style, and a line about styles that cannot be read."""
    name = context.scene.sd.style
    row = layout.row(align=True)
    missing = bool(name and styles_calls.known_styles() and styles_calls.known_style(name) is None)
    chosen = row.row(align=True)
    chosen.alert = missing
    chosen.popover(STYLES, text=name or "No Style", icon="ERROR" if missing else "BRUSHES_ALL", translate=not name)
    row.operator("sd.save_style", text="", icon="ADD")
    row.menu("SD_MT_style_edit", text="", icon="DOWNARROW_HLT")
    known = styles_calls.known_style(name) if name else None
    refused = styles_calls.refusal(known, context.scene.sd.model) if known is not None else ""
    if refused:
        wrapped(layout, context, refused, "ERROR")
    if missing:
        wrapped(layout, context, f"There is no style called '{name}' in the folders.", "ERROR")
    problems = styles_calls.problems()
    if problems:
        more = f" ({len(problems) - 1} more in the log.)" if len(problems) > 1 else ""
        wrapped(layout, context, f"The style {problems[0]}{more}", "ERROR")


def _group_of(style: Style) -> str:
    return style.group or _OTHER


def _place_of(style: Style) -> tuple:
    return style.group == "", _group_of(style).casefold(), style.name.casefold()


CLASSES = (popover(Styles), SD_MT_style_edit)
