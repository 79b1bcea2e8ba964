"""Draw the panel for the asset library: save a material, make many from a list, and show the list's progress."""
from __future__ import annotations

from ...calls import material_lists
from ...calls.runtime import runtime
from ..layout import wrapped
from ..translations.words import translated
from .base import SIDEBARS, Panel, place

_SHOWN = 5  # failed rows that are shown


class MaterialLibrary(Panel):
    """Material assets."""

    bl_label = "Material Library"
    bl_order = 60
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        column = self.layout.column(align=True)
        column.scale_y = 1.2
        column.operator("sd.save_material", text="Save as Material Asset", icon="ASSET_MANAGER")
        column.operator("sd.batch_materials", text="Materials from List", icon="PRESET")
        if runtime.newest_batch is not None:
            self._draw_batch(context, runtime.newest_batch)

    def _draw_batch(self, context, shown: material_lists.Batch) -> None:
        made, open_, _, _ = shown.counts()
        box = self.layout.box()
        row = box.row(align=True)
        if open_:
            row.progress(factor=1 - open_ / max(1, len(shown.jobs)), text=translated(shown.summary()))
            row.operator("sd.cancel_batch", text="", icon="X")
        else:
            wrapped(row.column(), context, shown.summary(), "CHECKMARK" if made else "INFO", taken=2)
            row.operator("sd.dismiss_batch", text="", icon="X", emboss=False)
        failed = shown.failed
        for row, error in failed[:_SHOWN]:
            column = box.column()
            column.alert = True
            wrapped(column, context, f"{row.number}. {row.name}: {error}", "ERROR")
        if len(failed) > _SHOWN:
            box.label(text=translated(f"… and {len(failed) - _SHOWN} more"), icon="BLANK1")
        wrapped(box, context, f"In {shown.library}", "FILE_FOLDER")


CLASSES = place(MaterialLibrary, *SIDEBARS)
