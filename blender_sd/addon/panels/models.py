"""The panel Get Models: a list, a field for any other repository, the licence, and the download. `draw` only reads."""
from __future__ import annotations

import os

import bpy

from ... import config, studio
from ...protocol.errors import OnlineAccessOff
from .. import preferences
from ..downloads import OTHER
from ..layout import failure, wrapped
from ..operators.fetch import FORBIDDEN, OFFLINE
from .base import SIDEBARS, Panel, place
from .parts import draw_remedies


class GetModels(Panel):
    """Models from the Hugging Face hub."""

    bl_label = "Get Models"
    bl_order = 90
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        shown = context.window_manager.sd_hub
        column = self.layout.column()
        column.enabled = not shown.running
        column.prop(shown, "choice", text="")
        if shown.choice == OTHER:
            column.prop(shown, "repo", text="", placeholder="owner/name")
        self._draw_licence(context, shown)
        if shown.running:
            row = self.layout.row(align=True)
            row.scale_y = 1.2
            row.progress(factor=shown.progress, text=shown.text)
            row.operator("sd.cancel_fetch", text="", icon="X")
        else:
            self._draw_button(shown)
        if not studio.state.network:
            wrapped(self.layout, context, FORBIDDEN, "LOCKED")
        elif refused := studio.download_refusal(shown.wanted()):
            wrapped(self.layout, context, refused, "LOCKED")
        elif not bpy.app.online_access:
            wrapped(self.layout, context, OFFLINE + ".", "INTERNET_OFFLINE")
            draw_remedies(self.layout, OnlineAccessOff.kind)
        self._draw_end(context, shown)
        wrapped(self.layout, context, f"Into {shown.folder}", "FILE_FOLDER")
        if not config.current.downloads:
            wrapped(self.layout, context, "It is deleted when the extension is uninstalled; the preferences can name another folder.")

    def _draw_licence(self, context, shown) -> None:
        """What is about to be downloaded, and on which terms."""
        listed = shown.listed()
        if listed is None and not shown.may_accept():
            return
        box = self.layout.box()
        if listed is not None:
            wrapped(box, context, f"{listed.text}. About {listed.gigabytes:g} GB.", "INFO")
        else:
            wrapped(box, context, shown.text, "INFO")
        wrapped(box, context, f"Licence: {shown.licence if listed is None else listed.licence}.", "FILE_TEXT")
        box.operator("wm.url_open", text="Read the Licence", icon="URL").url = shown.link if listed is None else listed.link
        if listed is not None and listed.gated and not config.current.hub_token and "HF_TOKEN" not in os.environ:
            wrapped(box, context, "Its owner wants the licence accepted on that page too, and an access token in the preferences.",
                    "KEYINGSET")
            if preferences.get() is not None:
                box.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = preferences.PACKAGE

    def _draw_button(self, shown) -> None:
        row = self.layout.row()
        row.scale_y = 1.2
        words = "Download" if shown.accepted() else "Accept and Download" if shown.may_accept() else "Look Up"
        row.operator("sd.fetch", text=words, icon="IMPORT" if words != "Look Up" else "VIEWZOOM")

    def _draw_end(self, context, shown) -> None:
        """How the newest download ended."""
        if shown.running:
            return
        if shown.error:
            draw_remedies(failure(self.layout, context, shown.error, shown.hint), shown.error_kind)
        elif shown.text and not shown.found:
            wrapped(self.layout, context, shown.text, "CHECKMARK" if shown.progress == 1 else "INFO")
        if shown.unfinished:
            self.layout.operator("sd.clear_unfinished", text="Delete Unfinished Downloads", icon="TRASH")


CLASSES = place(GetModels, *SIDEBARS)
