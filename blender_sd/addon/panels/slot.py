"""What is done to the slot's image: enlarging, inpainting, extending."""
from __future__ import annotations

from contextlib import suppress

from ... import scene
from ...protocol.errors import SDError
from ...protocol.families import Family
from ...protocol.request import INPAINT, MAKE_SEAMLESS, OUTPAINT, UPSCALE
from .base import SIDEBARS, Panel, family_in, place
from .settings import draw_upscaler

_GROWTH = {"SIDES": ("expand_left", "expand_right", "expand_top", "expand_bottom"), "ASPECT": ("aspect_x", "aspect_y")}


class Inpaint(Panel):
    """A part of the slot's image, painted anew."""

    bl_label = "Inpaint"
    bl_order = 40
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(INPAINT)

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.masked_image)
        column = self.split()
        column.prop(settings, "mask_source")
        if settings.mask_source == "PAINTED":
            with suppress(SDError):  # said above
                column.prop(scene.masked_image(context)[0], "sd_mask")
            self.layout.operator("sd.new_mask", text="Paint Mask", icon="BRUSH_DATA")
        column = self.split()
        column.prop(settings, "inpaint_strength", slider=True)
        column.prop(settings, "mask_grow")
        column.prop(settings, "mask_feather")
        self.layout.prop(settings, "mask_full_res")
        if settings.mask_full_res:
            self.split().prop(settings, "mask_context")
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.inpaint", text="Inpaint", icon="MOD_MASK")


class Extend(Panel):
    """The slot's image, continued beyond its borders or across them."""

    bl_label = "Extend"
    bl_order = 41
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not (family.refusal(OUTPAINT) and family.refusal(MAKE_SEAMLESS))

    def draw(self, context) -> None:
        settings, family = context.scene.sd, family_in(context)
        self.show_image(context, scene.masked_image)
        if not family.refusal(OUTPAINT):
            column = self.split()
            column.row().prop(settings, "expand_to", expand=True)
            sides = column.column(align=True)
            for name in _GROWTH[settings.expand_to]:
                sides.prop(settings, name)
            self.layout.operator("sd.outpaint", text="Outpaint", icon="FULLSCREEN_ENTER")
        if not family.refusal(MAKE_SEAMLESS):
            column = self.split()
            column.prop(settings, "band", slider=True)
            column.prop(settings, "seamless_strength", slider=True)
            self.layout.operator("sd.make_seamless", text="Make Seamless", icon="UV_SYNC_SELECT")


class Enlarge(Panel):
    """The slot's image, larger."""

    bl_label = "Enlarge"
    bl_order = 42
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(UPSCALE)

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.active_slot_image)
        column = self.split()
        column.prop(settings, "upscale_scale")
        column.prop(settings, "upscale_strength", slider=True)
        draw_upscaler(column, settings)
        column.prop(settings, "tile")
        self.layout.operator("sd.upscale", text="Upscale Slot", icon="FULLSCREEN_ENTER")


CLASSES = (*place(Inpaint, *SIDEBARS), *place(Extend, *SIDEBARS), *place(Enlarge, *SIDEBARS))
