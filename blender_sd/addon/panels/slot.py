"""What is done to the slot's image: enlarging, inpainting, extending."""
from __future__ import annotations

from contextlib import suppress

from ... import scene
from ...protocol.errors import SDError
from .base import Panel, place

_GROWTH = {"SIDES": ("expand_left", "expand_right", "expand_top", "expand_bottom"), "ASPECT": ("aspect_x", "aspect_y")}


class Enlarge(Panel):
    """Larger pictures: as part of Generate, or of the slot's image."""

    bl_label = "Enlarge"
    bl_order = 7
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "refine_scale", text="Generate ×")
        refine = column.column()
        refine.active = settings.refine_scale > 1
        refine.prop(settings, "refine_strength", slider=True)
        self.show_image(context, scene.active_slot_image)
        column = self.split()
        column.prop(settings, "upscale_scale", text="Slot ×")
        column.prop(settings, "upscale_strength", slider=True)
        column.separator()
        column.prop(settings, "upscaler", placeholder="Resampling")
        noise = column.column()
        noise.active = bool(settings.upscaler)
        noise.prop(settings, "upscaler_noise")
        column.prop(settings, "tile")
        self.layout.operator("sd.upscale", icon="FULLSCREEN_ENTER")


class Inpaint(Panel):
    """A part of the slot's image, painted anew."""

    bl_label = "Inpaint"
    bl_order = 8
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.masked_image)
        column = self.split()
        column.prop(settings, "mask_source")
        if settings.mask_source == "PAINTED":
            with suppress(SDError):  # said above
                column.prop(scene.masked_image(context)[0], "sd_mask")
            self.layout.operator("sd.new_mask", icon="BRUSH_DATA")
        column = self.split()
        column.prop(settings, "inpaint_strength", slider=True)
        column.prop(settings, "mask_grow")
        column.prop(settings, "mask_feather")
        self.layout.prop(settings, "mask_full_res")
        if settings.mask_full_res:
            self.split().prop(settings, "mask_context")
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.inpaint", icon="MOD_MASK")


class Extend(Panel):
    """The slot's image, continued beyond its borders or across them."""

    bl_label = "Extend"
    bl_order = 9
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        self.show_image(context, scene.masked_image)
        column = self.split()
        column.row().prop(settings, "expand_to", expand=True)
        sides = column.column(align=True)
        for name in _GROWTH[settings.expand_to]:
            sides.prop(settings, name)
        self.layout.operator("sd.outpaint", icon="FULLSCREEN_ENTER")
        column = self.split()
        column.prop(settings, "band", slider=True)
        column.prop(settings, "seamless_strength", slider=True)
        self.layout.operator("sd.make_seamless", icon="UV_SYNC_SELECT")


CLASSES = (
    *place(Enlarge, "view3d", "image", "shader"),
    *place(Inpaint, "view3d", "image", "shader"),
    *place(Extend, "view3d", "image", "shader"),
)
