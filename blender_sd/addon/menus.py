"""Add entries to Blender's own menus and headers."""
from __future__ import annotations

import bpy

from .. import scene
from .layout import GET_MODELS, ORIGIN, STOP
from .translations.words import translated

# F3 lists each menu once, but an entry once for each menu that contains it. So each operator is in one of these menus,
# and Blender's own menus show these.


class SD_MT_image(bpy.types.Menu):
    """What can be done to the image that is shown, or to that of the active slot"""

    bl_idname = "SD_MT_image"
    bl_label = "Active Image"

    def draw(self, _context) -> None:
        layout = self.layout
        layout.operator("sd.retexture", text="Repaint", icon="NODE_TEXTURE")
        layout.operator("sd.inpaint", text=translated("Inpaint"), icon="MOD_MASK")
        layout.operator("sd.outpaint", text="Outpaint", icon="FULLSCREEN_ENTER")
        layout.operator("sd.make_seamless", text="Make Seamless", icon="UV_SYNC_SELECT")
        layout.operator("sd.upscale", text="Upscale", icon="ZOOM_IN")
        layout.separator()
        layout.operator("sd.apply", text="Apply Image to Object")
        layout.operator("sd.save_material", text="Save as Material Asset", icon="ASSET_MANAGER")
        layout.separator()
        layout.operator("sd.recall", text="Recall Settings from Image", icon="LOOP_BACK")
        _popover(layout, ORIGIN, "Where Did This Come From", "QUESTION")


class SD_MT_render(bpy.types.Menu):
    """All that can be done from any editor"""  # in the top bar, where F3 finds it from every editor

    bl_idname = "SD_MT_render"
    bl_label = "Stable Diffusion"

    def draw(self, _context) -> None:
        layout = self.layout
        layout.operator("sd.generate", text="Generate Image", icon="IMAGE_DATA")
        layout.operator("sd.generate_onto", text="Generate Texture onto Object", icon="MATERIAL")
        layout.menu("SD_MT_image", icon="NODE_TEXTURE")
        layout.separator()
        layout.operator("sd.restyle", text="Restyle Render Result", icon="RENDER_STILL").source = "RENDER"
        layout.operator("sd.restyle", text="Render and Restyle", icon="CAMERA_DATA").source = "CAMERA"
        layout.operator("sd.restyle", text="Restyle 3D View", icon="VIEW3D").source = "VIEWPORT"
        layout.separator()
        layout.operator("sd.edit_prompt", text="Edit Prompt in Text Editor", icon="TEXT")
        _popover(layout, GET_MODELS, "Get Models", "IMPORT")
        layout.operator("sd.open_output", text="Open Output Folder", icon="FILE_FOLDER")
        layout.operator("sd.report", text="Report of Generated Images", icon="TEXT")
        layout.operator("sd.cancel", text="Cancel Job", icon="X")


def _popover(layout: bpy.types.UILayout, idname: str, text: str, icon: str) -> None:
    entry = layout.operator("wm.call_panel", text=translated(text), icon=icon)
    entry.name, entry.keep_open = idname, True


def _render_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.menu("SD_MT_render", icon="IMAGE_DATA")


def _image_menu(self, context) -> None:
    self.layout.separator()
    rendered = context.space_data.image is not None and context.space_data.image.type == "RENDER_RESULT"
    self.layout.menu("SD_MT_render" if rendered else "SD_MT_image", text="Stable Diffusion", icon="IMAGE_DATA")


def _export_menu(self, _context) -> None:
    self.layout.operator("sd.report", text="List of Generated Images (.csv, .txt)").to = "FILE"


def _cleanup_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.operator("sd.purge_replaced")


def _object_menu(self, _context) -> None:
    self.layout.separator()
    self.layout.menu("SD_MT_render", icon="IMAGE_DATA")


def _node_add_menu(self, context) -> None:
    if context.space_data.tree_type == "ShaderNodeTree":
        self.layout.separator()
        self.layout.operator("sd.add_image_node", text="Image from Prompt", icon="IMAGE_DATA")


def _node_menu(self, context) -> None:
    node = context.active_node
    if node is not None and node.type in ("TEX_IMAGE", "TEX_ENVIRONMENT"):
        self.layout.separator()
        self.layout.operator("sd.generate_into_slot", text="Generate into Node", icon="IMAGE_DATA")
        self.layout.menu("SD_MT_image", text="Stable Diffusion", icon="NODE_TEXTURE")


def _overlays(self, context) -> None:
    """Draw the switch of live mode's picture in the popover of the 3D View's overlays."""
    self.layout.label(text="Stable Diffusion")
    row = self.layout.row(align=True)
    running = context.window_manager.sd_live.running
    row.operator("sd.live", text="Live", icon=STOP if running else "PLAY", depress=running)
    row.prop(context.scene.sd_live, "mix", slider=True)


def _view_header(self, context) -> None:
    """Draw live mode's state and mix in the 3D View's header while it is on."""
    shown = context.window_manager.sd_live
    if shown.running:
        row = self.layout.row(align=True)
        row.operator("sd.live", text="", icon=STOP, depress=True)
        mix = row.row(align=True)
        mix.ui_units_x = 4
        mix.prop(context.scene.sd_live, "mix", slider=True)
        row.operator("sd.keep_live", text="", icon="FILE_TICK")


def _mask_header(self, context) -> None:
    """Draw what ends the painting of a mask in the editors' headers, whatever the sidebar shows."""
    if scene.painted_image(context.scene) is not None:
        self.layout.operator("sd.finish_mask", text="Mask Done", icon="CHECKMARK", depress=True)


_ENTRIES = (
    ("TOPBAR_MT_render", _render_menu),
    ("NODE_MT_add", _node_add_menu),
    ("NODE_MT_context_menu", _node_menu),
    ("IMAGE_MT_image", _image_menu),
    ("TOPBAR_MT_file_export", _export_menu),
    ("TOPBAR_MT_file_cleanup", _cleanup_menu),
    ("VIEW3D_MT_object_context_menu", _object_menu),
    ("VIEW3D_PT_overlay", _overlays),
    ("VIEW3D_HT_header", _view_header),
    ("VIEW3D_HT_header", _mask_header),
    ("IMAGE_HT_header", _mask_header),
)


CLASSES = (SD_MT_image, SD_MT_render)


def register() -> None:
    for menu, draw in _ENTRIES:
        getattr(bpy.types, menu).append(draw)


def unregister() -> None:
    for menu, draw in reversed(_ENTRIES):
        getattr(bpy.types, menu).remove(draw)
