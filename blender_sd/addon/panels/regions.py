"""Draw the regions: parts of the picture with settings of their own."""
from __future__ import annotations

import bpy

from ...core.families import Family
from ...core.tasks import IMAGE_TO_IMAGE, INPAINT, TEXT_TO_IMAGE
from ..layout import wrapped
from ..regions import KINDS
from ..translations.words import translated
from .base import SIDEBARS, Panel, place

_KINDS = {kind: (label, icon) for kind, label, _tip, icon, _number in KINDS}


class SD_UL_regions(bpy.types.UIList):
    """The regions: whether each is on, what it is of, and whether it is kept."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.prop(item, "enabled", text="")
        text = row.row(align=True)
        text.active, text.alert = item.enabled, not item.is_whole
        label, icon = _KINDS[item.kind]
        if item.pointer and item.is_whole:
            text.label(text=getattr(item, item.pointer).name, icon=icon, translate=False)
        else:
            text.label(text=translated(label), icon=icon if item.is_whole else "ERROR")
        row.prop(item, "keep", text="", icon="LOCKED" if item.keep else "UNLOCKED", emboss=False)


class Regions(Panel):
    """Parts of the picture that are kept exactly, or painted after words of their own."""

    bl_label = "Regions"
    bl_order = 32
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not all(map(family.refusal, (TEXT_TO_IMAGE, IMAGE_TO_IMAGE, INPAINT)))

    def draw(self, context) -> None:
        settings = context.scene.sd
        if not settings.regions:
            wrapped(self.layout, context, "Keep an object exactly as it is, or paint it after words of its own.")
            row = self.layout.row(align=True)
            row.operator("sd.add_region", text="Add Region", icon="ADD")
            row.operator("sd.pick_region", text="", icon="EYEDROPPER")
            return
        row = self.layout.row()
        row.template_list("SD_UL_regions", "", settings, "regions", settings, "region_index", rows=3)
        buttons = row.column(align=True)
        buttons.operator("sd.add_region", text="", icon="ADD")
        buttons.operator("sd.remove_region", text="", icon="REMOVE")
        buttons.operator("sd.pick_region", text="", icon="EYEDROPPER")
        region = settings.active_region()
        if region is None:
            return
        column = self.split()
        column.active = region.enabled
        column.prop(region, "kind")
        if region.pointer:
            column.prop(region, region.pointer)
        if settings.task == "TEXT" and (region.kind != "MASK" or region.keep):
            wrapped(self.layout, context, "Text to Image heeds regions by mask with a prompt alone.", "INFO")
        column.prop(region, "keep")
        if region.keep:
            column.prop(region, "feather")
        else:
            column.prop(region, "prompt")
            column.prop(region, "use_strength")
            if region.use_strength:
                column.prop(region, "strength", slider=True)
        if any(control.enabled for control in settings.controls):
            column.prop(region, "control", slider=True)
        if settings.task != "TEXT":
            self.layout.operator("sd.preview_region", text="Preview Mask", icon="HIDE_OFF")


CLASSES = (SD_UL_regions, *place(Regions, *SIDEBARS))
