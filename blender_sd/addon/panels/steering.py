"""What steers all that is painted: controls, a reference image, variations and grids."""
from __future__ import annotations

from .base import Panel, Steering, place


class Control(Steering):
    """A ControlNet that steers all that is painted."""

    bl_label = "Control"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_control", text="")

    def draw(self, context) -> None:
        if not self.steerable(context):
            return
        settings = context.scene.sd
        self.layout.active = settings.use_control
        column = self.split()
        column.prop(settings, "control_kind")
        column.prop(settings, "control_model")
        column.prop(settings, "control_source")
        if settings.control_source == "IMAGE":
            column.prop(settings, "control_image")
        column.prop(settings, "control_weight", slider=True)
        span = column.column(align=True)
        span.prop(settings, "control_start", slider=True)
        span.prop(settings, "control_end", slider=True)
        self.layout.operator("sd.preview_control", icon="HIDE_OFF")


class Reference(Steering):
    """An image whose look all that is painted takes over."""

    bl_label = "Reference"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_reference", text="")

    def draw(self, context) -> None:
        if not self.steerable(context):
            return
        settings = context.scene.sd
        self.layout.active = settings.use_reference
        column = self.split()
        column.prop(settings, "reference_image")
        column.prop(settings, "ip_adapter")
        column.prop(settings, "ip_adapter_weight", slider=True)


class Variations(Panel):
    """Pictures near the last one, and grids of pictures."""

    bl_label = "Variations"
    bl_order = 5
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "variation_strength", slider=True)
        seed = column.column()
        seed.active = settings.variation_strength > 0
        seed.prop(settings, "variation_seed")
        column.prop(settings, "use_grid")
        grid = self.split()
        grid.active = settings.use_grid
        grid.prop(settings, "x_setting")
        grid.prop(settings, "x_values")
        grid.prop(settings, "y_setting")
        if settings.y_setting != "none":
            grid.prop(settings, "y_values")


CLASSES = (
    *place(Control, "view3d", "image", "shader"),
    *place(Reference, "view3d", "image", "shader"),
    *place(Variations, "view3d", "image", "shader"),
)
