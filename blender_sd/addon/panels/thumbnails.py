"""Draw thumbnails of finished pictures for the history's page and the latest results; a click opens a picture."""
from __future__ import annotations

from collections.abc import Sequence

import bpy

from ...library.history_entries import HistoryEntry
from .. import history, layout as layouts

_WIDE = 76  # least width of a thumbnail, in pixels at a scale of 1
_COLUMNS = (2, 3, 4, 6)  # divisors of a page's number of thumbnails


def fitting(context: bpy.types.Context, columns: Sequence[int]) -> tuple[int, float]:
    """Return the largest of `columns` (ascending numbers) that fits the region, and the scale of its thumbnails."""
    width = layouts.region_width(context) - 40
    chosen = max((number for number in columns if number * _WIDE <= width), default=columns[0])
    return chosen, min(8.0, max(2.0, width / chosen / 20 - 0.6))


def draw_thumbnails(layout: bpy.types.UILayout, context: bpy.types.Context, shown: history.Shown,
                    entries: Sequence[HistoryEntry], chosen: HistoryEntry | None, columns: int = 0) -> None:
    """Draw `entries` of `shown` in a grid.

    A click on a picture enlarges it, and a click on the enlarged one opens it; a click on the text below selects it for
    the panel's buttons.

    Args:
        columns: By default as many as fit the region.
    """
    columns, scale = fitting(context, (columns,) if columns else _COLUMNS)
    grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, even_rows=True, align=False)
    for entry in entries:
        cell = grid.column(align=True)
        handle = history.handle_of(entry)
        if handle is None:  # the timer's next turn adds it
            cell.template_icon(icon_value=shown.icons[entry.path], scale=scale)
        else:
            cell.template_icon_view(handle, "picture", show_labels=True, scale=scale, scale_popup=10.0)
        row = cell.row(align=True)
        row.operator("sd.history_select", text=history.words_of(entry, 24), depress=entry == chosen,
                     translate=False).name = entry.name
        if entry.favourite:
            row.label(text="", icon="SOLO_ON")
    for _ in range(columns - len(entries)):  # empty cells keep a few thumbnails as small as many
        grid.label(text="")
