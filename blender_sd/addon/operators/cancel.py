"""Cancel jobs: the current one (button and Esc) or one of the queue; clear the list of ended jobs."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import bpy
from bpy.props import StringProperty

from ...calls import job_queue
from .. import escape, state, tick
from ..mirror import current_job
from .start import first_refusal

if TYPE_CHECKING:
    from ...session.job import Job


class SD_OT_cancel(bpy.types.Operator):
    """Stop the running job; what is half painted is thrown away and the scene stays as it is"""

    bl_idname = "sd.cancel"
    bl_label = "Stable Diffusion: Cancel Job"

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (current_job(job_queue.jobs()) is not None, "No job is running"))

    def invoke(self, context, event):
        if event.type == "ESC" and escape.taken():
            return {"PASS_THROUGH"}
        return self.execute(context)

    def execute(self, _context):
        current_job(job_queue.jobs()).cancel()
        tick.soon()
        return {"FINISHED"}


class OfOneJob:
    """Base of the buttons beside a job in the queue."""

    bl_options = {"INTERNAL"}

    job_id: StringProperty(name="Id", description="The job")

    def done(self, act: Callable[[Job], bool]) -> bool:
        """Return whether the job is in the queue and `act` could do something with it."""
        job = next((job for job in job_queue.jobs() if job.id == self.job_id), None)
        tick.soon()
        return job is not None and act(job)


class SD_OT_cancel_job(OfOneJob, bpy.types.Operator):
    """Stop this job, or take it out of the queue"""

    bl_idname = "sd.cancel_job"
    bl_label = "Stable Diffusion: Cancel This Job"

    def execute(self, _context):
        if self.done(lambda job: job.cancel()):
            return {"FINISHED"}
        self.report({"WARNING"}, "This job has ended already")
        return {"CANCELLED"}


class SD_OT_clear_jobs(bpy.types.Operator):
    """Take the jobs that have ended off the list; their pictures stay"""

    bl_idname = "sd.clear_jobs"
    bl_label = "Stable Diffusion: Clear Finished Jobs"

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (any(job.done for job in job_queue.jobs()), "No job has ended yet"))

    def execute(self, _context):
        job_queue.clear_jobs()
        tick.soon()
        return {"FINISHED"}


class SD_OT_dismiss(bpy.types.Operator):
    """Hide this message"""

    bl_idname = "sd.dismiss"
    bl_label = "Dismiss Message"
    bl_options = {"INTERNAL"}

    def execute(self, _context):
        state.clear_error()
        tick.soon()
        return {"FINISHED"}


CLASSES = (SD_OT_cancel, SD_OT_cancel_job, SD_OT_clear_jobs, SD_OT_dismiss)
