"""Paint the textures of the selected objects from every side."""
from __future__ import annotations

import bpy
from bpy.props import BoolProperty

from ...calls import texturing
from ...core.platforms import without_embree
from ...core.tasks import TEXTURE_OBJECT
from ..texture_choices import texture_mask, texture_views
from .start import can_do, first_refusal, start, without_grid


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
        meshes = any(obj.type == "MESH" for obj in context.selected_objects)
        return first_refusal(cls, (not name, f"Pictures cannot be baked onto objects on {name}"),
                             (meshes, "Select the mesh objects to texture first")) and can_do(
            cls, context, TEXTURE_OBJECT)

    def execute(self, context):
        settings = context.scene.sd
        meshes = [obj for obj in context.selected_objects if obj.type == "MESH"]
        return start(self, context, lambda seed: texturing.texture_object(
            meshes, settings.words(), size=settings.texture_size, views=texture_views(context),
            view_size=settings.width, mask=texture_mask(context), look=self.look, seed=seed,
            controls=settings.control_inputs(), map_source=settings.map_source, map_bits=settings.map_bits,
            **without_grid(settings.keywords(TEXTURE_OBJECT))))


CLASSES = (SD_OT_texture_object,)
