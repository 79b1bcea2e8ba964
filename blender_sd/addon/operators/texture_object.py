"""Paint the textures of the selected objects from every side."""
from __future__ import annotations

import bpy
from bpy.props import BoolProperty

from ...calls import texturing
from ...core.platforms import without_embree
from ...core.tasks import TEXTURE_OBJECT
from .. import tick, view_strip
from ..texture_choices import cameras_in, meshes_in, texture_mask, texture_views
from ..translations.words import translated
from .start import can_do, first_refusal, start, without_grid

_NOTHING = "Select the mesh objects to texture first"


class SD_OT_texture_object(bpy.types.Operator):
    bl_description = ("Paint the textures of the selected objects after the prompt, from all sides at once and without "
                      "seams, into the base color of their materials")

    bl_idname = "sd.texture_object"
    bl_label = "Stable Diffusion: Texture Object"
    bl_options = {"REGISTER"}

    look: BoolProperty(name="Quick Look", options={"SKIP_SAVE"}, description=(
        "Paint the first view only, as a new image; the objects stay as they are"))

    @classmethod
    def poll(cls, context):
        name = without_embree()
        return first_refusal(cls, (not name, f"Pictures cannot be baked onto objects on {name}"),
                             (meshes_in(context), _NOTHING)) and can_do(cls, context, TEXTURE_OBJECT)

    def execute(self, context):
        settings = context.scene.sd
        return start(self, context, lambda seed: texturing.texture_object(
            meshes_in(context), settings.words(), size=settings.texture_size, views=texture_views(context),
            view_size=settings.width, mask=texture_mask(context), look=self.look, seed=seed,
            controls=settings.control_inputs(), map_source=settings.map_source, map_bits=settings.map_bits,
            **without_grid(settings.keywords(TEXTURE_OBJECT))))


class SD_OT_show_views(bpy.types.Operator):
    """Show small pictures of the selected objects, as each side or camera sees them. They follow the selection"""

    bl_idname = "sd.show_views"
    bl_label = "Stable Diffusion: Show Views"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (meshes_in(context), _NOTHING))

    def execute(self, context):
        view_strip.show(meshes_in(context), cameras_in(context))
        tick.soon()
        if view_strip.note:
            self.report({"WARNING"}, translated(view_strip.note))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (SD_OT_texture_object, SD_OT_show_views)
