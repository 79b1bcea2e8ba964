"""Preview the running job over the Image Editors and the faces that its picture is for. No datablock holds it."""
from __future__ import annotations

import time

import bpy

from .. import scene
from ..core.errors import SDError
from ..scene import overlay, surfaces
from ..session.job import Job
from . import preference_access

EVERY = 0.1  # seconds between two previews; each costs an upload and a redraw


class JobPreview:
    """Show the newest preview of one job at a time, and remove it when there is none any more."""

    def __init__(self) -> None:
        self._shown: tuple[str, int] | None = None  # the job and the serial of its preview
        self._at = 0.0
        self._faces: tuple[str, list[surfaces.Surface]] = ("", [])  # a job, and the faces that its preview covers

    def update(self, job: Job | None) -> None:
        """Show the newest preview of `job`; None, or a job without a preview, shows nothing."""
        if job is None or job.preview is None:
            if self._shown is not None:
                self._shown = None
                scene.clear_preview()
                overlay.hide(overlay.JOB)
            return
        newest = (job.id, job.preview_serial)
        if newest != self._shown and time.monotonic() - self._at >= EVERY:
            self._shown, self._at = newest, time.monotonic()
            scene.show_preview(job.preview, job.request.final_size, job.target)
            self._cover_faces(job)

    def _cover_faces(self, job: Job) -> None:
        """Draw the preview over the faces that the picture is for; nothing of the file changes."""
        prefs = preference_access.get()
        if prefs is not None and not prefs.mesh_preview:
            overlay.hide(overlay.JOB)
            return
        if self._faces[0] != job.id:
            faces = []
            try:
                if job.covers is not None:
                    faces = job.covers()
                elif job.target is not None:
                    faces = surfaces.surfaces_of(job.target, bpy.context)
            except SDError:
                pass  # the target was deleted; applying the result reports it
            self._faces = (job.id, faces)
        if self._faces[1]:
            overlay.show_on(overlay.JOB, self._faces[1], job.preview)
        else:
            overlay.hide(overlay.JOB)
