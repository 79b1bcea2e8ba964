"""Models from the Hugging Face hub: begin, cancel, throw away what is unfinished."""
from __future__ import annotations

import bpy

from ... import hub, studio
from ...protocol.errors import SDError
from .. import downloads, tick
from .start import first_refusal

FORBIDDEN = "Your studio's policy allows no downloads"
OFFLINE = "Blender may not use the internet: switch on Preferences › System › Network › Allow Online Access"


class SD_OT_fetch(bpy.types.Operator):
    """Download the chosen model from the Hugging Face hub. Pressing this accepts the licence that is shown"""

    bl_idname = "sd.fetch"
    bl_label = "Stable Diffusion: Download Model"

    @classmethod
    def poll(cls, context):
        refused = studio.download_refusal(context.window_manager.sd_hub.wanted())
        return first_refusal(cls, (studio.state.network, FORBIDDEN), (not refused, refused.rstrip(".")), (bpy.app.online_access, OFFLINE),
                             (context.window_manager.sd_hub.wanted(), "Name a repository of the hub first, as owner/name"),
                             (not _running(), "A download is running; cancel it first, or wait"))

    def execute(self, context):
        shown = downloads.state()
        shown.error = shown.hint = shown.error_kind = ""
        try:
            one = hub.fetch(shown.wanted(), accept_licence=shown.may_accept())
        except SDError as error:
            shown.show_error(error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        downloads.started(one, context.scene)
        tick.soon()
        return {"FINISHED"}


class SD_OT_cancel_fetch(bpy.types.Operator):
    """Stop the download. What has come is kept, and the next download of the model goes on from there"""

    bl_idname = "sd.cancel_fetch"
    bl_label = "Stable Diffusion: Cancel Download"

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (_running(), "No download is running"))

    def execute(self, _context):
        for one in _running():
            one.cancel()
        tick.soon()
        return {"FINISHED"}


class SD_OT_clear_unfinished(bpy.types.Operator):
    """Delete what cancelled and broken downloads have left on the disk"""

    bl_idname = "sd.clear_unfinished"
    bl_label = "Stable Diffusion: Delete Unfinished Downloads"

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (not _running(), "A download is running; cancel it first"))

    def execute(self, _context):
        try:
            count = hub.clear_unfinished()
        except SDError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        downloads.state().unfinished = False
        self.report({"INFO"}, f"{downloads.amount(count)} are free again" if count else "There are none")
        tick.soon()
        return {"FINISHED"}


def _running() -> list:
    return [one for one in hub.downloads() if not one.done]


CLASSES = (SD_OT_fetch, SD_OT_cancel_fetch, SD_OT_clear_unfinished)
