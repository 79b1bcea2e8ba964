"""Draw a pie menu of frequent actions, and the prompt in a popover, over the editor. `keymap.py` has their keys."""
from __future__ import annotations

import bpy

from ..layout import PIE, POPOVER
from .base import Popover, family_in, popover, split
from .parts import draw_button, draw_messages, draw_prompt, draw_seed


class Quick(Popover):
    """Prompt, strength and seed, beside the mouse"""

    bl_idname = POPOVER
    bl_label = "Stable Diffusion Prompt"
    bl_ui_units_x = 16

    def draw_content(self, context) -> None:
        layout, settings, family = self.layout, context.scene.sd, family_in(context)
        draw_prompt(layout, context, family)
        column = split(layout)
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
    """What is done most, around the mouse"""

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


class SD_OT_pie(bpy.types.Operator):
    """Open the pie menu of what is done most, around the mouse"""

    # A key that opened the menu itself would have F3 list each of its entries a second time.
    bl_idname = "sd.pie"
    bl_label = "Stable Diffusion: Pie Menu"

    def execute(self, _context):
        return bpy.ops.wm.call_menu_pie("INVOKE_DEFAULT", name=PIE)


CLASSES = (popover(Quick), SD_MT_pie, SD_OT_pie)
