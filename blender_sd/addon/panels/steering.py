"""Draw the controls and the reference image, which apply to everything that is painted."""
from __future__ import annotations

import bpy

from ...core.families import Family
from ..controls import KINDS, SOURCES
from ..layout import wrapped
from ..translations.words import translated
from .base import SIDEBARS, Panel, family_in, place

_KINDS = {kind: (label, icon) for kind, label, _tip, icon, _number in KINDS}
_SOURCES = {source: icon for source, _label, _tip, icon, _number in SOURCES}


class SD_UL_controls(bpy.types.UIList):
    """The controls: whether each is on, what it reads and where from, and how much it counts."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.prop(item, "enabled", text="")
        text = row.row(align=True)
        text.active = item.enabled
        text.label(text=translated(_KINDS[item.kind][0]), icon=_KINDS[item.kind][1])
        text.label(text="", icon=_SOURCES[item.source])  # its name is below the list, which is wider
        weight = text.row()
        weight.ui_units_x = 2
        weight.prop(item, "weight", text="", emboss=False)


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
                          rows=4 if len(settings.controls) > 1 else 2)  # as high as the buttons to its right
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
        if family.without_reference and any(control.enabled for control in settings.controls):
            wrapped(self.layout, context,
                    f"With controls, {family.name} models take a reference only where they paint from words alone.",
                    "INFO")
        self.layout.active = settings.use_reference
        column = self.split()
        column.prop(settings, "reference_image")
        column.prop(settings, "ip_adapter")
        column.prop(settings, "ip_adapter_weight", slider=True)


CLASSES = (SD_UL_controls, *place(Control, *SIDEBARS), *place(Reference, *SIDEBARS))
