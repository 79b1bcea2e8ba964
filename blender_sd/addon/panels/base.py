"""What all panels of the tab share, and how they are placed: each is written once, `place` makes a class per editor."""
from __future__ import annotations

from collections.abc import Callable

import bpy

from ... import catalogue
from ...protocol.errors import SDError
from ...protocol.families import Family, family_of
from ..layout import TAB, wrapped

_EDITORS = {"view3d": "VIEW_3D", "image": "IMAGE_EDITOR", "shader": "NODE_EDITOR"}


class Panel:
    """What all panels of the tab share."""

    bl_region_type = "UI"
    bl_category = TAB

    @classmethod
    def poll(cls, context):
        return in_place(context) and not context.window_manager.sd_setup.missing  # without an engine there is only the panel Set Up

    def family(self, context) -> Family:
        """What the chosen model can do; all, where it is not known yet."""
        info = catalogue.known_model(context.scene.sd.model)
        return family_of("StableDiffusionPipeline") if info is None else info.abilities

    def split(self) -> bpy.types.UILayout:
        """A column with labels on the left of the fields, as Blender's own panels have."""
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        return column

    def show_image(self, context, find: Callable[[bpy.types.Context], tuple[bpy.types.Image, object]]) -> None:
        """Names the image that `find` finds, which the panel's buttons work on, or says why there is none."""
        try:
            self.layout.label(text=find(context)[0].name, icon="IMAGE_DATA")
        except SDError as error:
            wrapped(self.layout, context, str(error), "INFO")


class Steering(Panel):
    """A panel of what models can be steered by, if their family has it."""

    def steerable(self, context) -> bool:
        """Whether the chosen model can; says so where it cannot."""
        family = self.family(context)
        if self.works_with(family):
            return True
        wrapped(self.layout, context, f"This does not work with {family.name} models.", "INFO")
        return False

    def works_with(self, family: Family) -> bool:
        """Whether models of `family` have what the panel shows."""
        raise NotImplementedError


def in_place(context: bpy.types.Context) -> bool:
    """Whether the editor is one of the tab's: of node editors, the shader editor alone."""
    return context.space_data.type != "NODE_EDITOR" or context.space_data.tree_type == "ShaderNodeTree"


def place(panel: type[Panel], *editors: str) -> tuple[type[bpy.types.Panel], ...]:
    """`panel` as one registrable class per editor: SD_PT_<editor>_<panel>."""
    name = panel.__name__.lower()
    return tuple(
        type(f"SD_PT_{editor}_{name}", (panel, bpy.types.Panel),
             {"bl_idname": f"SD_PT_{editor}_{name}", "bl_space_type": _EDITORS[editor], "__doc__": panel.__doc__})
        for editor in editors)
