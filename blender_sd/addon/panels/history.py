"""Draw the panel History: thumbnails of all finished pictures, buttons for the selected one. Only memory is read."""
from __future__ import annotations

import time

from ...calls.runtime import runtime
from .. import history
from ..downloads import amount
from ..layout import wrapped
from ..translations.words import translated
from .base import SIDEBARS, Panel, place
from .thumbnails import draw_thumbnails

_LONGEST = 320  # characters of a prompt that are shown


class History(Panel):
    """Every finished picture, across files and runs of Blender."""

    bl_label = "History"
    bl_order = 55
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        history.want()
        settings, shown = history.state(), history.shown()
        row = self.layout.row(align=True)
        row.prop(settings, "search", text="", icon="VIEWZOOM", placeholder=translated("Search"))
        self.layout.row(align=True).prop(settings, "show", expand=True)
        for text, icon in ((shown.problem, "ERROR"), (shown.note, "INFO")):
            if text:
                wrapped(self.layout, context, text, icon)
        if shown.entries:
            self._draw_page(context, shown)
        elif not shown.problem:
            self.layout.label(text=translated(_nothing(settings, shown)), icon="TIME" if not shown.ready else "INFO")
        if shown.undo and settings.show != history.TRASH:
            row = self.layout.row()
            row.label(
                text=translated("Moved to trash" if len(shown.undo) == 1 else f"{len(shown.undo)} moved to trash"),
                icon="TRASH")
            row.operator("sd.history_restore", text=translated("Undo"), icon="LOOP_BACK")
        if shown.comparison is not None:
            self._draw_comparison(context, settings, shown.comparison)
        if shown.selected is not None:
            self._draw_selected(context, shown)
        self._draw_usage(context, settings, shown)

    def _draw_page(self, context, shown) -> None:
        draw_thumbnails(self.layout, context, shown, shown.entries, shown.selected)
        if shown.total > history.PAGE:
            row = self.layout.row(align=True)
            back = row.row(align=True)
            back.enabled = shown.first > 0
            back.operator("sd.history_page", text="", icon="TRIA_LEFT").pages = -1
            middle = row.row(align=True)
            middle.alignment = "CENTER"
            middle.label(text=translated(f"{shown.first + 1}–{shown.first + len(shown.entries)} of {shown.total}"))
            on = row.row(align=True)
            on.enabled = shown.first + len(shown.entries) < shown.total
            on.operator("sd.history_page", text="", icon="TRIA_RIGHT").pages = 1

    def _draw_selected(self, context, shown) -> None:
        entry = shown.selected
        box = self.layout.box()
        prompt = " ".join(entry.prompt.split())
        wrapped(box, context, (prompt if len(prompt) <= _LONGEST else prompt[:_LONGEST] + "…") or "No prompt",
                translate=not prompt)
        column = box.column(align=True)
        column.active = False
        column.scale_y = 0.8
        column.label(text=translated(f"{entry.model} · {entry.task} · seed {entry.seed}"))
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.time))
        column.label(text=translated(f"{entry.width} × {entry.height} · {when} · {amount(entry.bytes)}"))
        if entry.trashed:
            row = box.row(align=True)
            row.operator("sd.history_restore", icon="LOOP_BACK")
            row.operator("sd.history_show_file", text="", icon="FILE_FOLDER")
            return
        row = box.row(align=True)
        for into, words, icon in (("EDITOR", "Show", "IMAGE_DATA"), ("SLOT", "Slot", "NODE_TEXTURE"),
                                  ("MATERIAL", "Object", "MATERIAL")):
            row.operator("sd.history_use", text=translated(words), icon=icon).into = into
        row = box.row(align=True)
        row.operator("sd.history_recall", text="Recall Settings", icon="LOOP_BACK")
        row.operator("sd.history_recall", text="Same Seed").only_seed = True
        row = box.row(align=True)
        row.operator("sd.compare", text="Compare", icon="ARROW_LEFTRIGHT")
        row.operator("sd.history_favourite", text="", icon="SOLO_ON" if entry.favourite else "SOLO_OFF",
                     depress=entry.favourite)
        row.operator("sd.history_show_file", text="", icon="FILE_FOLDER")
        row.operator("sd.history_trash", text="", icon="TRASH")

    def _draw_comparison(self, context, settings, comparison) -> None:
        box = self.layout.box()
        row = box.row(align=True)
        for side, words in (("A", "Current"), ("B", "History")):
            row.operator("sd.compare_show", text=translated(words), depress=comparison.shown == side
                         and not settings.wipe).side = side
        if comparison.in_editor:
            row.operator("sd.compare_wipe", text=translated("Wipe"), depress=settings.wipe)
            if settings.wipe:
                box.prop(settings, "wipe_at", slider=True)
        row = box.row(align=True)
        row.operator("sd.compare_end", text=translated("Keep"), icon="CHECKMARK").keep = True
        row.operator("sd.compare_end", text=translated("Back"), icon="LOOP_BACK").keep = False

    def _draw_usage(self, context, settings, shown) -> None:
        if settings.show == history.TRASH and shown.trash_count:
            self.layout.operator("sd.history_empty_trash",
                                 text=translated(f"Empty Trash ({amount(shown.trash_bytes)})"), icon="TRASH")
            return
        if not shown.count and not shown.trash_count:
            return
        limit = runtime.config.history_gb
        of = f" of {limit:g} GB" if limit else ""
        binned = f" · trash {amount(shown.trash_bytes)}" if shown.trash_count else ""
        row = self.layout.row()
        row.active = False
        row.label(text=translated(f"Pictures: {shown.count} · {amount(shown.bytes)}{of}{binned}"))
        going, size = shown.over
        if going:
            wrapped(self.layout, context,
                    f"More than History Size: the oldest {going} can go to the trash ({amount(size)}).", "INFO")
            self.layout.operator("sd.history_tidy", text="Move Oldest to Trash", icon="TRASH")


def _nothing(settings, shown) -> str:
    if not shown.ready:
        return "Looking for pictures…"
    if settings.search:
        return "No picture has these words"
    return {history.ALL: "No pictures yet", history.FAVOURITES: "No favourites yet: mark one with the star",
            history.TRASH: "The trash is empty"}[settings.show]


CLASSES = place(History, *SIDEBARS)
