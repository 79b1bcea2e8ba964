"""Draw the jobs of this session."""
from __future__ import annotations

import bpy

from ..translations.words import translated
from .base import SIDEBARS, Panel, place

_STATE_ICONS = {
    "queued": "TIME", "loading": "IMPORT", "running": "RENDER_ANIMATION", "paused": "PAUSE",
    "finished": "CHECKMARK",
    "cancelled": "PANEL_CLOSE", "failed": "ERROR"}
_ENDED = ("finished", "cancelled", "failed")


class _Jobs:
    """List part of `WindowManager.sd.jobs`: those that have `ended`, or the others."""

    ended = False

    def filter_items(self, _context, data, name):
        shown = [
            self.bitflag_filter_item if (item.state in _ENDED) == self.ended else 0 for item in getattr(data, name)]
        return shown, []

    def draw_filter(self, _context, _layout) -> None:
        """Draw nothing: the list is neither searched nor sorted."""


class SD_UL_jobs(_Jobs, bpy.types.UIList):
    __doc__ = ("What is running and what waits, in the order of their turns: what each job is, how far it is, and a "
               "button that ends it.")

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon=_STATE_ICONS.get(item.state, "NONE"), translate=False)
        if item.state == "running":
            row.progress(factor=item.progress, text=translated(f"{item.progress:.0%}"))
        else:
            row.label(text=translated(item.text))
        if item.pausable:
            icon = "PLAY" if item.state == "paused" else "PAUSE"
            row.operator("sd.pause_job", text="", icon=icon, emboss=False).job_id = item.job_id
        row.operator("sd.cancel_job", text="", icon="X", emboss=False).job_id = item.job_id


class SD_UL_ended_jobs(_Jobs, bpy.types.UIList):
    """The jobs that have ended, and how."""

    ended = True

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon=_STATE_ICONS.get(item.state, "NONE"), translate=False)
        status = row.row()
        status.alignment = "RIGHT"
        status.enabled = False
        status.label(text=translated(item.text))


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


class EndedJobs(Panel):
    """The jobs of this session that have ended, folded until they are wanted."""

    bl_label = "Finished"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Queue

    def draw_header_preset(self, context) -> None:
        count = sum(item.state in _ENDED for item in context.window_manager.sd.jobs)
        self.layout.label(text=str(count), translate=False)

    def draw(self, context) -> None:
        state = context.window_manager.sd
        self.layout.template_list("SD_UL_ended_jobs", "", state, "jobs", state, "job_index", rows=3)
        row = self.layout.row(align=True)
        row.operator("sd.clear_jobs", text="Clear Finished")
        row.operator("sd.open_output", text="", icon="FILE_FOLDER")


CLASSES = (SD_UL_jobs, SD_UL_ended_jobs, *place(Queue, *SIDEBARS), *place(EndedJobs, *SIDEBARS))
