"""The jobs of this session."""
from __future__ import annotations

import bpy

from .base import SIDEBARS, Panel, place

_STATE_ICONS = {"queued": "TIME", "loading": "IMPORT", "running": "RENDER_ANIMATION", "finished": "CHECKMARK", "cancelled": "PANEL_CLOSE",
                "failed": "ERROR"}


class SD_UL_jobs(bpy.types.UIList):
    """The queue: what each job is, how far it is, and a button that ends it."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon=_STATE_ICONS.get(item.state, "NONE"), translate=False)
        if item.state in ("finished", "cancelled", "failed"):
            status = row.row()
            status.alignment = "RIGHT"
            status.enabled = False
            status.label(text=item.text)
            return
        if item.state == "running":
            row.progress(factor=item.progress, text=f"{item.progress:.0%}")
        else:
            row.label(text=item.text)
        row.operator("sd.cancel_job", text="", icon="X", emboss=False).job_id = item.job_id


class Queue(Panel):
    """The jobs of this session."""

    bl_label = "Queue"
    bl_order = 50

    def draw(self, context) -> None:
        state = context.window_manager.sd
        row = self.layout.row()
        row.template_list("SD_UL_jobs", "", state, "jobs", state, "job_index", rows=3)
        buttons = row.column(align=True)
        buttons.operator("sd.move_job", text="", icon="TRIA_UP").direction = "UP"
        buttons.operator("sd.move_job", text="", icon="TRIA_DOWN").direction = "DOWN"
        row = self.layout.row(align=True)
        row.operator("sd.clear_jobs", text="Clear Finished")
        row.operator("sd.open_output", text="", icon="FILE_FOLDER")


CLASSES = (SD_UL_jobs, *place(Queue, *SIDEBARS))
