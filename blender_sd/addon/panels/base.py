"""What all panels share, and how they are placed: each is written once, `place` makes a class per editor."""
from __future__ import annotations

from collections.abc import Callable

import bpy

from ... import catalogue
from ...protocol.errors import SDError
from ...protocol.families import Family, family_of
from ..layout import TAB, wrapped

_PLACES = {  # editor's name in the panels' ids -> where its panels are
    "view3d": {"bl_space_type": "VIEW_3D", "bl_region_type": "UI", "bl_category": TAB},
    "image": {"bl_space_type": "IMAGE_EDITOR", "bl_region_type": "UI", "bl_category": TAB},
    "shader": {"bl_space_type": "NODE_EDITOR", "bl_region_type": "UI", "bl_category": TAB},
    "render": {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "render"},
    "material": {"bl_space_type": "PROPERTIES", "bl_region_type": "WINDOW", "bl_context": "material"},
}
SIDEBARS = ("view3d", "image", "shader")


class Panel:
    """What all panels share. `parent`: the panel that it is folded into, where it is a sub-panel."""

    parent: type[Panel] | None = None

    @classmethod
    def poll(cls, context):
        """Hidden where models of the chosen family lack it, and without an engine, when there is only the panel Set Up."""
        return in_place(context) and not context.window_manager.sd_setup.missing and cls.works_with(family_in(context))

    @classmethod
    def works_with(cls, family: Family) -> bool:
        """Whether models of `family` have what the panel shows; it is hidden where they have not."""
        return True

    def split(self) -> bpy.types.UILayout:
        """A column with labels on the left of the fields, as Blender's own panels have."""
        return split(self.layout)

    def show_image(self, context, find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
        """Names the image that `find` finds, which the panel's buttons work on, or says why there is none."""
        show_image(self.layout, context, find)


def family_in(context: bpy.types.Context) -> Family:
    """What the chosen model can do; all, where it is not known yet."""
    info = catalogue.known_model(context.scene.sd.model)
    return family_of("StableDiffusionPipeline") if info is None else info.abilities


def split(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column in `layout` with labels on the left of the fields, as Blender's own panels have."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def show_image(layout: bpy.types.UILayout, context: bpy.types.Context,
               find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
    """Names the image that `find` finds, or says why there is none."""
    try:
        layout.label(text=find(context)[0].name, icon="IMAGE_DATA", translate=False)
    except SDError as error:
        wrapped(layout, context, str(error), "INFO")


def in_place(context: bpy.types.Context) -> bool:
    """Whether the editor is one of the tab's: of node editors, the shader editor alone."""
    return context.space_data.type != "NODE_EDITOR" or context.space_data.tree_type == "ShaderNodeTree"


def place(panel: type[Panel], *editors: str) -> tuple[type[bpy.types.Panel], ...]:
    """`panel` as one registrable class per editor: SD_PT_<editor>_<panel>. A sub-panel's parent must be placed there before it."""
    return tuple(
        type(_name(panel, editor), (panel, bpy.types.Panel),
             {"bl_idname": _name(panel, editor), "__doc__": panel.__doc__, **_PLACES[editor],
              **({"bl_parent_id": _name(panel.parent, editor)} if panel.parent else {})})
        for editor in editors)


def _name(panel: type[Panel], editor: str) -> str:
    return f"SD_PT_{editor}_{panel.__name__.lower()}"
