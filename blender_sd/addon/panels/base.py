"""Define what all panels share, and place them: each is written once, and `place` makes a class per editor."""
from __future__ import annotations

from collections.abc import Callable

import bpy

from ...calls import models
from ...core.errors import SDError
from ...core.families import Family, family_of
from ..layout import ORIGIN, TAB, popover_of, wrapped

_PLACES = {  # editor's name in the panels' ids -> where its panels are
    "view3d": {"bl_space_type": "VIEW_3D", "bl_region_type": "UI", "bl_category": TAB},
    "image": {"bl_space_type": "IMAGE_EDITOR", "bl_region_type": "UI", "bl_category": TAB},
    "shader": {"bl_space_type": "NODE_EDITOR", "bl_region_type": "UI", "bl_category": TAB},
    "render": {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "render"},
    "material": {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "material"},
}
SIDEBARS = ("view3d", "image", "shader")


class Panel:
    """Base of all panels.

    Attributes:
        parent: For a sub-panel, the panel that contains it.
    """

    parent: type[Panel] | None = None

    @classmethod
    def poll(cls, context):
        """Hide the panel if the family does not support it, or if there is no engine (only Set Up shows then)."""
        return in_place(context) and not context.window_manager.sd_setup.missing and cls.works_with(family_in(context))

    @classmethod
    def works_with(cls, family: Family) -> bool:
        """Return whether models of `family` support what the panel shows; otherwise it is hidden."""
        return True

    def split(self) -> bpy.types.UILayout:
        """Return a column with labels to the left of its fields, as in Blender's own panels."""
        return split(self.layout)

    def show_image(self, context, find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
        """Draw the name of the image that the panel's buttons work on, or why there is none."""
        show_image(self.layout, context, find)


class Popover:
    """Base of all popovers. A button, a key or a menu entry opens them; they close when the mouse leaves them.

    Blender redraws an open popover only after a click in it, so what changes by itself is shown in a panel as well.
    """

    bl_space_type = "TOPBAR"
    bl_region_type = "HEADER"
    bl_options = {"INSTANCED"}  # never a panel of its own
    bl_ui_units_x = 20

    def draw(self, context) -> None:
        with popover_of(self.bl_ui_units_x):
            if context.window_manager.sd_setup.missing:
                wrapped(self.layout, context, "The engine is not set up yet.", "INFO")
                self.layout.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
                return
            self.draw_content(context)

    def draw_content(self, context) -> None:
        """Draw the popover's content."""
        raise NotImplementedError


def popover(panel: type[Popover]) -> type[bpy.types.Panel]:
    """Return `panel` as a class to register."""
    return type(panel.bl_idname, (panel, bpy.types.Panel), {"bl_idname": panel.bl_idname, "__doc__": panel.__doc__})


def family_in(context: bpy.types.Context) -> Family:
    """Return the family of the chosen model; one that can do everything while it is unknown."""
    info = models.known_model(context.scene.sd.model)
    return family_of("StableDiffusionPipeline") if info is None else info.abilities


def split(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """Return a column in `layout` with labels to the left of its fields, as in Blender's own panels."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def show_image(layout: bpy.types.UILayout, context: bpy.types.Context,
               find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
    """Draw the name of the image that `find` returns and a button that shows its origin, or why there is none."""
    try:
        name = find(context)[0].name
    except SDError as error:
        wrapped(layout, context, str(error), "INFO")
        return
    row = layout.row(align=True)
    row.label(text=name, icon="IMAGE_DATA", translate=False)
    row.popover(ORIGIN, text="", icon="QUESTION")


def in_place(context: bpy.types.Context) -> bool:
    """Return whether the tab belongs in this editor: among node editors only in the Shader Editor."""
    return context.space_data.type != "NODE_EDITOR" or context.space_data.tree_type == "ShaderNodeTree"


def place(panel: type[Panel], *editors: str) -> tuple[type[bpy.types.Panel], ...]:
    """Return one class per editor to register, named SD_PT_<editor>_<panel>.

    Place a sub-panel's parent in the same editors first.
    """
    return tuple(
        type(_name(panel, editor), (panel, bpy.types.Panel),
             {"bl_idname": _name(panel, editor), "__doc__": panel.__doc__, **_PLACES[editor],
              **({"bl_parent_id": _name(panel.parent, editor)} if panel.parent else {})})
        for editor in editors)


def _name(panel: type[Panel], editor: str) -> str:
    return f"SD_PT_{editor}_{panel.__name__.lower()}"
