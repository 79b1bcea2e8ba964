"""Change the order of the waiting jobs."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ...calls import job_queue
from .. import tick
from .start import first_refusal


class SD_OT_move_job(bpy.types.Operator):
    """Paint the selected job sooner or later than the others that wait"""

    bl_idname = "sd.move_job"
    bl_label = "Move Job"
    bl_options = {"INTERNAL"}

    direction: EnumProperty(
        name="Direction", description="Whether the job's turn comes sooner or later",
        items=(("UP", "Sooner", "Before the job above it", "TRIA_UP", 0), ("DOWN", "Later", "After the job below it",
                                                                           "TRIA_DOWN", 1)))

    @classmethod
    def poll(cls, context):
        job = _selected(context)
        return first_refusal(cls, (job is not None and job.state == "queued", "Select a job that is still waiting"))

    def execute(self, context):
        job = _selected(context)
        job_queue.move_job(job, -1 if self.direction == "UP" else 1)
        tick.soon()
        return {"FINISHED"}


def _selected(context: bpy.types.Context):
    """Return the job that is selected in the list."""
    state = context.window_manager.sd
    id = state.jobs[state.job_index].job_id if 0 <= state.job_index < len(state.jobs) else ""
    return next((job for job in job_queue.jobs() if job.id == id), None)


CLASSES = (SD_OT_move_job,)
