"""Draw the panel that paints what is seen onto the objects themselves."""
from __future__ import annotations

from ...core.families import Family
from ...core.tasks import IMAGE_TO_IMAGE
from ..layout import wrapped
from ..texture_choices import meshes_in
from .base import Panel, place


class Project(Panel):
    """The view, repainted and baked into the objects' own textures."""

    bl_label = "Project onto Objects"
    bl_order = 46
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(IMAGE_TO_IMAGE)

    def draw(self, context) -> None:
        meshes = meshes_in(context)
        onto = "Onto the selected objects" if meshes else "Onto all objects in view"
        wrapped(self.layout, context, onto, "MESH_DATA")
        if any(region.enabled for region in context.scene.sd.regions):
            wrapped(self.layout, context, "Projections heed no regions.", "INFO")
        column = self.split()
        column.prop(context.scene.sd, "render_strength", slider=True)
        for name in ("project_objects", "project_single_user", "project_debug"):
            column.prop(context.scene.sd, name)
        column = self.layout.column(align=True)
        column.operator("sd.project", text="Project from Here", icon="MOD_UVPROJECT").view = "VIEWPORT"
        column.operator("sd.project", text="Project from Camera", icon="CAMERA_DATA").view = "CAMERA"


CLASSES = place(Project, "view3d")
