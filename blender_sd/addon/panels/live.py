"""Draw live mode: its switch, its state and its settings."""
from __future__ import annotations

from ...session.live import PAINTING, UP_TO_DATE
from ..layout import STOP, wrapped
from ..translations.words import translated
from .base import Panel, family_in, place

_ICONS = {PAINTING: "RENDER_ANIMATION", UP_TO_DATE: "CHECKMARK"}


class Live(Panel):
    """The 3D View or a texture, restyled while the artist works."""

    bl_label = "Live"
    bl_order = 10
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings, shown = context.scene.sd_live, context.window_manager.sd_live
        column = self.layout.column(align=True)
        row = column.row(align=True)
        row.scale_y = 1.4
        row.operator("sd.live", text=translated("Stop" if shown.running else "Start Live Mode"),
                     icon=STOP if shown.running else "PLAY", depress=shown.running)
        # In its own row, because Blender enables what appears under the mouse only after the mouse has left it.
        if shown.running:
            column.operator("sd.keep_live", text=translated("Keep"), icon="FILE_TICK")
            wrapped(self.layout, context, shown.text, _ICONS.get(shown.state, "PAUSE"))
        if any(region.enabled for region in context.scene.sd.regions):
            wrapped(self.layout, context, "Live mode heeds no regions.", "INFO")
        self.layout.row().prop(settings, "source", expand=True)
        column = self.split()
        column.prop(settings, "mix", slider=True)
        if family_in(context).strength:
            column.prop(settings, "strength", slider=True)


class LiveOptions(Panel):
    """Size, steps and seed of live pictures, and when live mode rests."""

    bl_label = "Live Options"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Live

    def draw(self, context) -> None:
        settings = context.scene.sd_live
        column = self.split()
        column.prop(settings, "size")
        column.prop(settings, "steps")
        column.prop(settings, "seed")
        column.separator()
        column.prop(settings, "idle")
        column.prop(settings, "fade")


CLASSES = (*place(Live, "view3d"), *place(LiveOptions, "view3d"))
