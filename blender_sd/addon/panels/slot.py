"""Draw operations on the slot's image: enlarge, inpaint, extend."""
from __future__ import annotations

from contextlib import suppress

from ... import scene
from ...core.errors import SDError
from ...core.families import Family
from ...core.tasks import INPAINT, MAKE_SEAMLESS, OUTPAINT, SEED_WALK, UPSCALE
from ..layout import wrapped
from ..translations.words import translated
from .base import SIDEBARS, Panel, family_in, place
from .parts import draw_own_prompt, draw_settings


class Inpaint(Panel):
    """Repaint a part of the slot's image."""

    bl_label = "Inpaint"
    bl_order = 40
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(INPAINT)

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.masked_image)
        draw_own_prompt(self.layout, context, INPAINT, scene.masked_image)
        column = self.split()
        column.prop(settings, "mask_source")
        if settings.mask_source == "PAINTED":
            with suppress(SDError):  # the panel shows why above
                column.prop(scene.masked_image(context)[0], "sd_mask", text="Mask Image")
            draw_mask_buttons(self.layout, context)
        column = self.split()
        column.prop(settings, "inpaint_strength", slider=True)
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.inpaint", text=translated("Inpaint"), icon="MOD_MASK")


class MaskOptions(Panel):
    """How the mask's edge is treated, and how much of the image is worked on."""

    bl_label = "Mask Options"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Inpaint

    def draw(self, context) -> None:
        draw_settings(self.split(), context.scene.sd, "mask", family_in(context))


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
            draw_own_prompt(self.layout, context, OUTPAINT, scene.masked_image)
            column = self.split()
            column.row().prop(settings, "expand_to", expand=True)
            sides = column.column(align=True)
            if settings.expand_to == "ASPECT":
                sides.prop(settings, "aspect_x")
                sides.prop(settings, "aspect_y")
            else:
                draw_settings(sides, settings, "outpaint", family)
            self.layout.operator("sd.outpaint", text="Outpaint", icon="FULLSCREEN_ENTER")
        if not family.refusal(MAKE_SEAMLESS):
            draw_own_prompt(self.layout, context, MAKE_SEAMLESS, scene.masked_image)
            draw_settings(self.split(), settings, "make_seamless", family)
            self.layout.operator("sd.make_seamless", text="Make Seamless", icon="UV_SYNC_SELECT")


class SeedWalk(Panel):
    """Variations of the slot's image."""

    bl_label = "Seed Walk"
    bl_order = 44
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(SEED_WALK)

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.active_slot_image)
        draw_own_prompt(self.layout, context, SEED_WALK, scene.active_slot_image)
        column = self.split()
        draw_settings(column, settings, "seed_walk", family_in(context))
        column.prop(settings, "count")
        self.layout.operator("sd.seed_walk", text="Paint Variations", icon="MOD_NOISE")


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
        draw_own_prompt(self.layout, context, UPSCALE, scene.active_slot_image)
        column = self.split()
        column.prop(settings, "upscale_scale")
        column.prop(settings, "upscale_strength", slider=True)
        self.layout.operator("sd.upscale", text="Upscale Slot", icon="FULLSCREEN_ENTER")


class EnlargeOptions(Panel):
    """Choose the upscaler that enlarges before the model refines, and the size of the tiles."""

    bl_label = "Upscaler"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Enlarge

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        draw_settings(column, settings, "upscaler", family_in(context))
        column.prop(settings, "tile")


def draw_mask_buttons(layout, context) -> None:
    """Draw the buttons that start or finish painting a mask."""
    if scene.painted_image(context.scene) is None:
        layout.operator("sd.new_mask", text=translated("Paint Mask"), icon="BRUSH_DATA")
        return
    column = layout.column(align=True)
    wrapped(column, context, "Paint over what should change. Ctrl erases, Esc ends.", "BRUSH_DATA")
    row = column.row(align=True)
    row.operator("sd.finish_mask", text="Done", icon="CHECKMARK", depress=True)
    row.operator("sd.change_mask", text=translated("Clear")).how = "CLEAR"
    row.operator("sd.change_mask", text="Invert").how = "INVERT"


CLASSES = tuple(cls for panel in (Inpaint, MaskOptions, Extend, Enlarge, EnlargeOptions, SeedWalk)
                for cls in place(panel, *SIDEBARS))
