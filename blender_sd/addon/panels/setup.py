"""The panel Set Up: all that the tab shows as long as there is no engine. `draw` only reads."""
from __future__ import annotations

import bpy

from ... import config, studio
from ...session.accelerators import ACCELERATORS
from .. import preferences
from ..downloads import amount
from ..installing import draw_state
from ..layout import wrapped
from ..operators.setup import FORBIDDEN
from .base import SIDEBARS, Panel, in_place, place


class SetUp(Panel):
    """One sentence, one button: what it downloads, where to, for which accelerator; and the ways round it."""

    bl_label = "Set Up"
    bl_order = -1

    @classmethod
    def poll(cls, context):
        return in_place(context) and context.window_manager.sd_setup.missing

    def draw(self, context) -> None:
        shown, layout = context.window_manager.sd_setup, self.layout
        wrapped(layout, context, "Pictures are painted by a program beside Blender, the engine, which is not on this computer yet.", "INFO")
        choice = ACCELERATORS[shown.accelerator]
        column = layout.column()
        column.enabled = not shown.running
        column.prop(shown, "accelerator", text="")
        wrapped(column, context, f"Found: {shown.found}.")
        verb = "Unpacks from the folder of wheels" if shown.wheels else f"Downloads about {amount(choice.download)}"
        wrapped(column, context, f"{verb}, and takes about {amount(choice.installed)} on the disk.", "IMPORT")
        wrapped(column, context, f"Into {shown.place}", "FILE_FOLDER")
        if not config.current.engine_place:
            wrapped(column, context, "It is deleted when the extension is uninstalled; the preferences can name another folder.")
        if not shown.running:
            row = layout.row()
            row.scale_y = 2.0
            row.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
        draw_state(layout, context)
        if not studio.state.network and not shown.wheels and not shown.running:
            wrapped(layout, context, FORBIDDEN, "LOCKED")
        elif not bpy.app.online_access and not shown.wheels and not shown.running:
            self._draw_offline(context)
        if not shown.running:
            self._draw_other_ways(shown)

    def _draw_offline(self, context) -> None:
        box = self.layout.box()
        wrapped(box, context, "Blender is not allowed to use the internet. Allow it here, or choose a folder of wheels below, collected on "
                "a computer that has internet.", "INTERNET_OFFLINE")
        box.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="INTERNET")

    def _draw_other_ways(self, shown) -> None:
        column = self.layout.column(align=True)
        column.separator()
        column.label(text="Other ways")
        column.prop(shown, "wheels", text="", placeholder="Folder of wheels (no network)")
        column.operator("sd.use_python", text="Use an Existing Python", icon="FILE_SCRIPT")
        if preferences.get() is not None:
            column.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = preferences.PACKAGE


CLASSES = place(SetUp, *SIDEBARS)
