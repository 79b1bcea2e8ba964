"""Draw the panel for materials with all their maps."""
from __future__ import annotations

from ... import scene
from ...calls import material_maps
from ...core.tasks import AUTO_SOURCE, MAP_SOURCES
from .. import map_exporting
from ..layout import wrapped
from ..translations.words import translated
from .base import SIDEBARS, Panel, family_in, place
from .parts import draw_settings


class Material(Panel):
    """Materials with all their maps, from the prompt or from an image."""

    bl_label = "Material"
    bl_order = 47
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        draw_settings(self.split(), settings, "material", family_in(context))
        draw_map_source(self.layout, context, settings)
        column = self.layout.column(align=True)
        column.scale_y = 1.2
        column.operator("sd.material", text="Material from Prompt", icon="MATERIAL")
        column.operator("sd.pbr_maps", text="Maps from Image", icon="NODE_TEXTURE").seamless = False
        column.operator("sd.pbr_maps", text="Maps from Seamless Image", icon="MOD_ARRAY").seamless = True
        material = context.object.active_material if context.object is not None else None
        if current := scene.relief_of(material):
            self._draw_active(material, current)

    def _draw_active(self, material, current: str) -> None:
        box = self.layout.box()
        box.label(text=material.name, icon="MATERIAL", translate=False)
        scale, relief = scene.relief_controls(material)
        column = box.column(align=True)
        column.prop(scale, "default_value", text=translated("Scale"))
        column.prop(relief, "default_value", text="Relief")
        row = box.row(align=True)
        for name, text in (("normal", "Normal Map"), ("bump", "Bump"), ("displacement", "Displacement")):
            row.operator("sd.relief", text=translated(text), depress=name == current).relief = name
        box.operator("sd.export_maps", text="Export Maps", icon="EXPORT")
        if words := map_exporting.text():
            box.label(text=words, icon="INFO" if map_exporting.running() else "CHECKMARK", translate=False)


def draw_map_source(layout, context, settings) -> None:
    """Say what makes the maps where the settings leave it open."""
    if settings.map_source == AUTO_SOURCE:
        best = MAP_SOURCES[next(iter(material_maps.map_sources()))][0]
        wrapped(layout, context, f"The maps are made by: {translated(best)}", "INFO")


CLASSES = place(Material, *SIDEBARS)
