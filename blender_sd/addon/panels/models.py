"""Draw the popover Get Models: a list, a field for any repository, the licence, and the download. `draw` only reads."""
from __future__ import annotations

import os

import bpy

from ...calls import policy
from ...calls.runtime import runtime
from ...core.errors import OnlineAccessOff
from .. import preference_access
from ..downloads import OTHER
from ..layout import GET_MODELS, wrapped
from ..operators.downloads import FORBIDDEN, OFFLINE
from ..translations.words import translated
from .base import Popover, popover
from .parts import draw_download, draw_remedies


class GetModels(Popover):
    """Models, ControlNets, LoRAs and IP-Adapters from the Hugging Face hub"""

    bl_idname = GET_MODELS
    bl_label = "Get Models"

    def draw_content(self, context) -> None:
        shown = context.window_manager.sd_hub
        column = self.layout.column()
        column.enabled = not shown.running
        column.prop(shown, "choice", text="")
        if shown.choice == OTHER:
            column.prop(shown, "repo", text="", placeholder="owner/name")
        self._draw_licence(context, shown)
        if not shown.running:
            self._draw_button(shown)
        if shown.running:
            wrapped(self.layout, context, "Being downloaded: the Settings panel and the status bar show how far it is.",
                    "IMPORT")
            self.layout.operator("sd.cancel_fetch", text="Cancel", icon="X")
        elif shown.error:
            draw_download(self.layout, context)
        if not runtime.policy.state.network:
            wrapped(self.layout, context, FORBIDDEN, "LOCKED")
        elif refused := policy.download_refusal(shown.wanted()):
            wrapped(self.layout, context, refused, "LOCKED")
        elif not bpy.app.online_access:
            wrapped(self.layout, context, OFFLINE + ".", "INTERNET_OFFLINE")
            draw_remedies(self.layout, OnlineAccessOff.kind)
        if not (shown.running or shown.error) and shown.text and not shown.unaccepted:
            wrapped(self.layout, context, shown.text, "CHECKMARK" if shown.progress == 1 else "INFO")
        if shown.unfinished and not shown.running:
            self.layout.operator("sd.clear_unfinished", text="Delete Unfinished Downloads", icon="TRASH")
        wrapped(self.layout, context, f"Into {shown.folder}", "FILE_FOLDER")
        if not runtime.config.downloads:
            wrapped(self.layout, context,
                    "It is deleted when the extension is uninstalled; the preferences can name another folder.")

    def _draw_licence(self, context, shown) -> None:
        """Draw what will be downloaded, and its licence."""
        listed = shown.listed()
        if listed is None and not shown.may_accept():
            return
        box = self.layout.box()
        if listed is not None:
            wrapped(box, context, f"{listed.text}. About {listed.gigabytes:g} GB.", "INFO")
        else:
            wrapped(box, context, shown.text, "INFO")
        wrapped(box, context, f"Licence: {shown.licence if listed is None else listed.licence}.", "FILE_TEXT")
        box.operator("wm.url_open", text="Read the Licence",
                     icon="URL").url = shown.link if listed is None else listed.link
        if listed is not None and listed.gated and not runtime.config.hub_token and "HF_TOKEN" not in os.environ:
            wrapped(box, context,
                    "Its owner wants the licence accepted on that page too, and an access token in the preferences.",
                    "KEYINGSET")
            if preference_access.get() is not None:
                button = box.operator("preferences.addon_show", text=translated("Preferences"), icon="PREFERENCES")
                button.module = preference_access.PACKAGE

    def _draw_button(self, shown) -> None:
        row = self.layout.row()
        row.scale_y = 1.2
        words = "Download" if shown.accepted() else "Accept and Download" if shown.may_accept() else "Look Up"
        row.operator("sd.fetch", text=translated(words), icon="IMPORT" if words != "Look Up" else "VIEWZOOM")


CLASSES = (popover(GetModels),)
