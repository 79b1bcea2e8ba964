"""Entries in Blender's own menus and the progress in its status bar."""
from __future__ import annotations

import bpy


def _image_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.operator("sd.retexture", text="Repaint with Stable Diffusion", icon="NODE_TEXTURE")
    self.layout.operator("sd.recall", icon="LOOP_BACK")
    self.layout.operator("sd.apply")


def _object_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.operator("sd.generate_onto", icon="IMAGE_DATA")


def _status_bar(self, context) -> None:
    state = context.window_manager.sd
    if state.active:
        row = self.layout.row(align=True)
        row.ui_units_x = 12
        row.progress(factor=state.progress, text=f"SD {state.progress_text}")
        row.operator("sd.cancel", text="", icon="X", emboss=False)
    hub = context.window_manager.sd_hub
    if hub.running:
        row = self.layout.row(align=True)
        row.ui_units_x = 12
        row.progress(factor=hub.progress, text=hub.text)
        row.operator("sd.cancel_fetch", text="", icon="X", emboss=False)


def _overlays(self, context) -> None:
    """In the popover of the 3D View's overlays, of which live mode's picture is one."""
    self.layout.label(text="Stable Diffusion")
    row = self.layout.row(align=True)
    running = context.window_manager.sd_live.running
    row.operator("sd.live", text="Live", icon="PAUSE" if running else "PLAY", depress=running)
    row.prop(context.scene.sd_live, "mix", slider=True)


def _view_header(self, context) -> None:
    """While live mode is on, what it does and how much of it is seen stand in the 3D View's header."""
    shown = context.window_manager.sd_live
    if shown.running:
        row = self.layout.row(align=True)
        row.operator("sd.live", text="", icon="PAUSE", depress=True)
        mix = row.row(align=True)
        mix.ui_units_x = 4
        mix.prop(context.scene.sd_live, "mix", slider=True)
        row.operator("sd.keep_live", text="", icon="FILE_TICK")


_ENTRIES = (
    ("IMAGE_MT_image", _image_menu),
    ("VIEW3D_MT_object_context_menu", _object_menu),
    ("STATUSBAR_HT_header", _status_bar),
    ("VIEW3D_PT_overlay", _overlays),
    ("VIEW3D_HT_header", _view_header),
)


def register() -> None:
    for menu, draw in _ENTRIES:
        getattr(bpy.types, menu).append(draw)


def unregister() -> None:
    for menu, draw in reversed(_ENTRIES):
        getattr(bpy.types, menu).remove(draw)
