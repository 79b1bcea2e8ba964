"""What steers all that is painted: controls and a reference image."""
from __future__ import annotations

import bpy

from ...protocol.families import Family
from ..controls import KINDS, SOURCES
from ..layout import wrapped
from .base import SIDEBARS, Panel, family_in, place

_KINDS = {kind: (label, icon) for kind, label, _tip, icon, _number in KINDS}
_SOURCES = {source: label for source, label, _tip, _icon, _number in SOURCES}


class SD_UL_controls(bpy.types.UIList):
    """The controls: whether each is on, what it reads and where from, and how much it counts."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.prop(item, "enabled", text="")
        text = row.row(align=True)
        text.active = item.enabled
        text.label(text=_KINDS[item.kind][0], icon=_KINDS[item.kind][1])
        named = item.source == "IMAGE" and item.image is not None
        text.label(text=item.image.name if named else _SOURCES[item.source], translate=not named)
        text.prop(item, "weight", text="", emboss=False)


class Control(Panel):
    """The ControlNets that steer all that is painted."""

    bl_label = "Control"
    bl_order = 30
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return bool(family.controls)

    def draw(self, context) -> None:
        settings = context.scene.sd
        if not settings.controls:
            wrapped(self.layout, context, "A ControlNet keeps the result to the structure of the scene or of an image.")
            self.layout.operator("sd.add_control", text="Add Control", icon="ADD")
            return
        row = self.layout.row()
        row.template_list("SD_UL_controls", "", settings, "controls", settings, "control_index",
                          rows=4 if len(settings.controls) > 1 else 2)  # as high as the buttons beside it
        buttons = row.column(align=True)
        buttons.operator("sd.add_control", text="", icon="ADD")
        buttons.operator("sd.remove_control", text="", icon="REMOVE")
        if len(settings.controls) > 1:
            buttons.separator()
            buttons.operator("sd.move_control", text="", icon="TRIA_UP").direction = "UP"
            buttons.operator("sd.move_control", text="", icon="TRIA_DOWN").direction = "DOWN"
        control = settings.active_control()
        if control is None:
            return
        column = self.split()
        column.active = control.enabled
        column.prop(control, "kind")
        column.prop(control, "model")
        column.prop(control, "source")
        if control.source == "IMAGE":
            column.prop(control, "image")
        column.prop(control, "weight", slider=True)
        span = column.column(align=True)
        span.prop(control, "start", slider=True)
        span.prop(control, "end", slider=True)
        self.layout.operator("sd.preview_control", text="Preview Control Image", icon="HIDE_OFF")


class Reference(Panel):
    """An image whose look all that is painted takes over."""

    bl_label = "Reference"
    bl_order = 31
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return family.reference

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_reference", text="")

    def draw(self, context) -> None:
        settings = context.scene.sd
        family = family_in(context)
        if family.blind and any(control.enabled for control in settings.controls):
            wrapped(self.layout, context, f"With controls, {family.name} models take a reference only where they paint from words alone.",
                    "INFO")
        self.layout.active = settings.use_reference
        column = self.split()
        column.prop(settings, "reference_image")
        column.prop(settings, "ip_adapter")
        column.prop(settings, "ip_adapter_weight", slider=True)


CLASSES = (SD_UL_controls, *place(Control, *SIDEBARS), *place(Reference, *SIDEBARS))
