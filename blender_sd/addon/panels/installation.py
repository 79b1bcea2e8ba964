"""Draw the panel Set Up, the tab's only panel while there is no engine. `draw` only reads."""
from __future__ import annotations

import bpy

from ...calls.runtime import runtime
from ...library import places
from .. import preference_access
from ..installation import draw_choice, draw_state
from ..layout import wrapped
from ..operators.installation import FORBIDDEN
from ..translations.words import translated
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
        wrapped(layout, context,
                "Pictures are painted by a program beside Blender, the engine, which is not on this computer yet.",
                "INFO")
        if shown.obstacle:
            wrapped(layout, context, shown.obstacle, "ERROR")
            draw_state(layout, context)
            self._draw_other_ways(shown)
            return
        column = layout.column()
        column.enabled = not shown.running
        draw_choice(column, context)
        column.label(text="Folder for the engine, models and pictures")
        column.prop(shown, "base", text="")
        if runtime.config.engine_place:
            wrapped(column, context, f"The engine goes into {shown.place}, as the preferences say.", "FILE_FOLDER")
        if places.is_translocated():
            wrapped(column, context,
                    "macOS runs this Blender from a temporary place. Move it to Applications and start it again.",
                    "ERROR")
        if not shown.running:
            row = layout.row()
            row.scale_y = 2.0
            row.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
        draw_state(layout, context)
        if not runtime.policy.state.network and not shown.wheels and not shown.running:
            wrapped(layout, context, FORBIDDEN, "LOCKED")
        elif not bpy.app.online_access and not shown.wheels and not shown.running:
            self._draw_offline(context)
        if not shown.running:
            self._draw_other_ways(shown)

    def _draw_offline(self, context) -> None:
        box = self.layout.box()
        wrapped(box, context, "Blender is not allowed to use the internet. Allow it here, or choose a folder of wheels "
                              "below, collected on a computer that has internet.",
                              "INTERNET_OFFLINE")
        box.operator("extensions.userpref_allow_online", text=translated("Allow Online Access"), icon="INTERNET")

    def _draw_other_ways(self, shown) -> None:
        column = self.layout.column(align=True)
        column.separator()
        column.label(text="Other ways")
        column.prop(shown, "wheels", text="", placeholder="Folder of wheels (no network)")
        column.operator("sd.offer_pythons", text="Use an Existing Python", icon="FILE_SCRIPT")
        if preference_access.get() is not None:
            column.operator("preferences.addon_show", text=translated("Preferences"),
                            icon="PREFERENCES").module = preference_access.PACKAGE


CLASSES = place(SetUp, *SIDEBARS)
