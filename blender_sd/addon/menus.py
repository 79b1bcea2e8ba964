"""Entries in Blender's own menus and the progress in its status bar."""
from __future__ import annotations

import bpy


class SD_MT_render(bpy.types.Menu):
    """All that can be done from anywhere. In the top bar, since F3 finds what stands there from every editor."""

    bl_idname = "SD_MT_render"
    bl_label = "Stable Diffusion"

    def draw(self, _context) -> None:
        layout = self.layout
        layout.operator("sd.generate", text="Generate Image", icon="IMAGE_DATA")
        layout.operator("sd.generate_onto", text="Generate Texture onto Object", icon="MATERIAL")
        layout.operator("sd.retexture", text="Retexture Active Slot", icon="NODE_TEXTURE")
        layout.separator()
        layout.operator("sd.restyle", text="Restyle Render Result", icon="RENDER_STILL").source = "RENDER"
        layout.operator("sd.restyle", text="Render and Restyle", icon="CAMERA_DATA").source = "CAMERA"
        layout.operator("sd.restyle", text="Restyle 3D View", icon="VIEW3D").source = "VIEWPORT"
        layout.separator()
        layout.operator("sd.edit_prompt", text="Edit Prompt in Text Editor", icon="TEXT")
        layout.operator("sd.recall", text="Recall Settings from Image", icon="LOOP_BACK")
        layout.operator("sd.open_output", text="Open Output Folder", icon="FILE_FOLDER")
        layout.operator("sd.report", text="Report of Generated Images", icon="TEXT")
        layout.operator("sd.cancel", text="Cancel Job", icon="X")


def _render_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.menu("SD_MT_render", icon="IMAGE_DATA")


def _image_menu(self, context) -> None:
    self.layout.separator()
    image = context.space_data.image
    if image is not None and image.type == "RENDER_RESULT":
        self.layout.operator("sd.restyle", text="Restyle Render with Stable Diffusion", icon="RENDER_STILL").source = "RENDER"
    else:
        self.layout.operator("sd.retexture", text="Repaint with Stable Diffusion", icon="NODE_TEXTURE")
    self.layout.operator("sd.recall", text="Recall Settings from Image", icon="LOOP_BACK")
    self.layout.operator("sd.apply", text="Apply Image to Object")
    self.layout.operator("sd.save_material", text="Save as Material Asset", icon="ASSET_MANAGER")
    self.layout.operator("sd.report", text="Report of Generated Images", icon="TEXT")


def _export_menu(self, _context) -> None:
    self.layout.operator("sd.report", text="Report of Generated Images (.csv, .txt)").to = "FILE"


def _object_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.operator("sd.generate_onto", text="Generate Texture onto Object", icon="IMAGE_DATA")
    self.layout.operator("sd.retexture", text="Retexture Object's Slot", icon="NODE_TEXTURE")


def _node_add_menu(self, context) -> None:
    if context.space_data.tree_type == "ShaderNodeTree":
        self.layout.separator()
        self.layout.operator("sd.add_image_node", text="Image Texture from Prompt", icon="IMAGE_DATA")


def _node_menu(self, context) -> None:
    node = context.active_node
    if node is not None and node.type in ("TEX_IMAGE", "TEX_ENVIRONMENT"):
        self.layout.separator()
        self.layout.operator("sd.generate_into_slot", text="Generate Image from Prompt", icon="IMAGE_DATA")
        self.layout.operator("sd.retexture", text="Repaint Image with Stable Diffusion", icon="NODE_TEXTURE")


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
    ("TOPBAR_MT_render", _render_menu),
    ("NODE_MT_add", _node_add_menu),
    ("NODE_MT_context_menu", _node_menu),
    ("IMAGE_MT_image", _image_menu),
    ("TOPBAR_MT_file_export", _export_menu),
    ("VIEW3D_MT_object_context_menu", _object_menu),
    ("STATUSBAR_HT_header", _status_bar),
    ("VIEW3D_PT_overlay", _overlays),
    ("VIEW3D_HT_header", _view_header),
)


CLASSES = (SD_MT_render,)


def register() -> None:
    for menu, draw in _ENTRIES:
        getattr(bpy.types, menu).append(draw)


def unregister() -> None:
    for menu, draw in reversed(_ENTRIES):
        getattr(bpy.types, menu).remove(draw)
