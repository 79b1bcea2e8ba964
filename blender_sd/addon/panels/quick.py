"""For quick use over the editor itself: a pie of what is done most, and the prompt in a popover. Their keys are in `keymap.py`."""
from __future__ import annotations

import bpy

from ..layout import PIE, POPOVER, wrapped
from .base import family_in
from .parts import draw_button, draw_messages, draw_prompt, draw_seed


class SD_PT_quick(bpy.types.Panel):
    """Prompt, strength and seed, beside the mouse."""

    bl_idname = POPOVER
    bl_label = "Stable Diffusion"
    bl_space_type = "TOPBAR"
    bl_region_type = "HEADER"
    bl_options = {"INSTANCED"}  # only as a popover
    bl_ui_units_x = 16

    def draw(self, context) -> None:
        layout, settings, family = self.layout, context.scene.sd, family_in(context)
        if context.window_manager.sd_setup.missing:
            wrapped(layout, context, "The engine is not set up yet.", "INFO")
            layout.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
            return
        draw_prompt(layout, context, family)
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        if family.strength:
            column.prop(settings, "slot_strength", text="Texture Strength", slider=True)
            column.prop(settings, "render_strength", text="Render Strength", slider=True)
        draw_seed(column, context)
        column = layout.column(align=True)
        column.scale_y = 1.2
        column.operator("sd.restyle", text="Restyle View", icon="VIEW3D").source = "VIEWPORT"
        column.operator("sd.retexture", text="Retexture Slot", icon="NODE_TEXTURE")
        draw_button(layout, context, family, "TEXT")
        draw_messages(layout, context)


class SD_MT_pie(bpy.types.Menu):
    """What is done most, around the mouse."""

    bl_idname = PIE
    bl_label = "Stable Diffusion"

    def draw(self, context) -> None:
        pie = self.layout.menu_pie()  # filled from the left, the right, below, above, then the corners
        pie.operator("sd.generate", text="Generate", icon="IMAGE_DATA")
        pie.operator("sd.restyle", text="Restyle View", icon="VIEW3D").source = "VIEWPORT"
        prompt = pie.operator("wm.call_panel", text="Prompt…", icon="GREASEPENCIL")
        prompt.name, prompt.keep_open = POPOVER, True
        pie.operator("sd.generate_onto", text="Generate onto Object", icon="MATERIAL")
        pie.operator("sd.retexture", text="Retexture Slot", icon="NODE_TEXTURE")
        pie.operator("sd.restyle", text="Restyle Render", icon="RENDER_STILL").source = "RENDER"
        pie.operator("sd.cancel", text="Cancel", icon="X")
        pie.operator("sd.recall", text="Recall from Image", icon="LOOP_BACK")


CLASSES = (SD_PT_quick, SD_MT_pie)
