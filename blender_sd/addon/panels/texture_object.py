"""Draw the panel that textures whole objects, with the sides from which they are painted."""
from __future__ import annotations

from ..layout import wrapped
from ..translations.words import translated
from .base import Panel, family_in, place
from .material import draw_map_source
from .parts import draw_settings


class TextureObject(Panel):
    """The selected objects' own textures, painted from all sides at once."""

    bl_label = "Texture Object"
    bl_order = 45
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        meshes = [obj for obj in context.selected_objects if obj.type == "MESH"]
        if meshes:
            wrapped(self.layout, context, "Onto the selected objects", "MESH_DATA")
        else:
            wrapped(self.layout, context, "Select the mesh objects to texture first.", "INFO")
        column = self.split()
        column.prop(settings, "texture_size")
        column.prop(settings, "texture_from")
        if settings.texture_from == "SIDES":
            self._draw_sides(settings)
        column = self.split()
        column.prop(settings, "texture_mask")
        draw_settings(column, settings, "texture_object", family_in(context))
        if settings.object_maps:
            draw_map_source(self.layout, context, settings)
        column = self.layout.column(align=True)
        column.operator("sd.texture_object", text="Quick Look at One View", icon="HIDE_OFF").look = True
        row = column.row(align=True)
        row.scale_y = 1.4
        row.operator("sd.texture_object", text="Texture Object", icon="SHADING_TEXTURE").look = False
        column.operator("sd.project", text="Again from Here", icon="FILE_REFRESH").view = "VIEWPORT"

    def _draw_sides(self, settings) -> None:
        grid = self.layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
        for number, label in enumerate(_LABELS):
            grid.prop(settings, "texture_sides", index=number, text=translated(label), toggle=True)


_LABELS = ("Front", "Front Right", "Right", "Back Right", "Back", "Back Left", "Left", "Front Left", "Top", "Bottom")
CLASSES = place(TextureObject, "view3d")
