"""Draw the panel that textures whole objects, with the sides from which they are painted."""
from __future__ import annotations

from ...core.tasks import SIDES
from .. import view_strip
from ..layout import wrapped
from ..texture_choices import cameras_in, meshes_in
from ..translations.words import translated
from .base import Panel, family_in, place
from .material import draw_map_source
from .parts import draw_settings
from .thumbnails import fitting


class TextureObject(Panel):
    """The selected objects' own textures, painted from all sides at once."""

    bl_label = "Texture Object"
    bl_order = 45
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        meshes, cameras = meshes_in(context), cameras_in(context)
        if meshes:
            wrapped(self.layout, context, "Onto the selected objects", "MESH_DATA")
        else:
            wrapped(self.layout, context, "Select the mesh objects to texture first.", "INFO")
        column = self.split()
        column.prop(settings, "texture_size")
        column.prop(settings, "texture_from")
        view_strip.watch(meshes, cameras)
        self._draw_views(context, settings, cameras)
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

    def _draw_views(self, context, settings, cameras) -> None:
        """Draw what each side or camera sees, and below it the button that chooses it."""
        columns, scale = fitting(context, _COLUMNS) if view_strip.has_pictures() else (_COLUMNS[0], 1.0)
        grid = self.layout.grid_flow(row_major=True, columns=columns, even_columns=True, align=True)
        if settings.texture_from == "SIDES":
            for number, label in enumerate(_LABELS):
                cell = _cell(grid, SIDES[number], scale, settings.texture_sides[number])
                cell.prop(settings, "texture_sides", index=number, text=translated(label), toggle=True)
        for camera in cameras:
            cell = _cell(grid, camera.name, scale, camera.sd_view)
            cell.prop(camera, "sd_view", text=camera.name, translate=False, toggle=True)
        self.layout.operator("sd.show_views", text="Show Views", icon="IMAGE_DATA")
        if view_strip.note:
            wrapped(self.layout, context, view_strip.note, "INFO")
        elif settings.texture_from == "SIDES" and settings.texture_object_more_views:
            wrapped(self.layout, context, "More views are added where these do not see the surface well.", "INFO")


def _cell(grid, name: str, scale: float, chosen: bool):
    """Return a column of `grid` for a view's button, below its picture if there is one: pale if it is not `chosen`."""
    cell = grid.column(align=True)
    if icon := view_strip.icon_of(name):
        picture = cell.column(align=True)
        picture.active = chosen
        picture.template_icon(icon_value=icon, scale=scale)
    return cell


_COLUMNS = (2, 3, 4, 5)  # of views, as many as fit
_LABELS = ("Front", "Front Right", "Right", "Back Right", "Back", "Back Left", "Left", "Front Left", "Top", "Bottom")
CLASSES = place(TextureObject, "view3d")
