"""Download models from the Hugging Face hub: start, cancel, delete unfinished downloads."""
from __future__ import annotations

import bpy

from ...calls import downloads as downloads_calls, policy
from ...calls.runtime import runtime
from ...core.errors import SDError
from .. import downloads, tick
from ..translations.words import translated
from .start import first_refusal, tell

FORBIDDEN = "Your studio's policy allows no downloads"
OFFLINE = "Blender may not use the internet: switch on Preferences › System › Network › Allow Online Access"


class SD_OT_fetch(bpy.types.Operator):
    """Download the chosen model from the Hugging Face hub. Pressing this accepts the licence that is shown"""

    bl_idname = "sd.fetch"
    bl_label = "Stable Diffusion: Download Model"

    @classmethod
    def poll(cls, context):
        refused = policy.download_refusal(context.window_manager.sd_hub.wanted())
        return first_refusal(
            cls, (runtime.policy.state.network, FORBIDDEN), (not refused, refused.rstrip(".")),
            (bpy.app.online_access, OFFLINE),
            (context.window_manager.sd_hub.wanted(), "Name a repository of the hub first, as owner/name"),
            (not _running(), "A download is running; cancel it first, or wait"))

    def execute(self, context):
        shown = downloads.state()
        shown.error = shown.hint = shown.error_kind = ""
        try:
            download = downloads_calls.fetch(shown.wanted(), accept_licence=shown.may_accept())
        except SDError as error:
            shown.show_error(error)
            tell(self, error)
            return {"CANCELLED"}
        downloads.started(download, context.scene)
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
        for download in _running():
            download.cancel()
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
            count = downloads_calls.clear_unfinished()
        except SDError as error:
            self.report({"ERROR"}, translated(str(error)))
            return {"CANCELLED"}
        downloads.state().unfinished = False
        self.report({"INFO"}, translated(f"{downloads.amount(count)} are free again" if count else "There are none"))
        tick.soon()
        return {"FINISHED"}


def _running() -> list:
    return [download for download in downloads_calls.downloads() if not download.done]


CLASSES = (SD_OT_fetch, SD_OT_cancel_fetch, SD_OT_clear_unfinished)
