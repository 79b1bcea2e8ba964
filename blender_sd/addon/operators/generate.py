"""Generate an image from text, for the target chosen in the panel or for the active object."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import text_to_image
from ...core.tasks import TEXT_TO_IMAGE, UPSCALE
from .start import can_do, can_find, first_refusal, start

TYPE_PROMPT = "Type a prompt in the SD tab first"


class SD_OT_generate(bpy.types.Operator):
    """Paint what the prompt says and put it where Target says. Blender stays free meanwhile"""

    bl_idname = "sd.generate"
    bl_label = "Stable Diffusion: Generate Image"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.sd
        return can_generate(cls, context) and first_refusal(
            cls,
            (settings.words() or settings.style, TYPE_PROMPT),
            (settings.target != "MATERIAL"
             or is_mesh(context), "Select a mesh object, or choose New Image as the target"),
        ) and can_find(cls, lambda context: scene.freeze_target(context, settings.target.lower(), at_a_glance=True),
                       context)

    def execute(self, context):
        return generate(self, context, context.scene.sd.target.lower())


class SD_OT_generate_onto(bpy.types.Operator):
    """Paint what the prompt in the SD tab says and put it into the base color of the active object's material"""

    bl_idname = "sd.generate_onto"
    bl_label = "Stable Diffusion: Generate Texture onto Object"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_generate(cls, context) and first_refusal(
            cls,
            (is_mesh(context), "Select a mesh object"),
            (context.scene.sd.words() or context.scene.sd.style, TYPE_PROMPT),
        ) and can_find(cls, lambda context: scene.freeze_target(context, "material", at_a_glance=True), context)

    def execute(self, context):
        return generate(self, context, "material")


def can_generate(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Return, for `poll`, whether the chosen model can generate, and also refine if the panel asks for it."""
    return can_do(cls, context, TEXT_TO_IMAGE, *((UPSCALE,) if context.scene.sd.refine_scale > 1 else ()))


def generate(operator: bpy.types.Operator, context: bpy.types.Context, kind: str) -> set[str]:
    settings = context.scene.sd
    return start(operator, context, lambda seed: text_to_image.generate(
        settings.words(), seed=seed, size=(settings.width, settings.height), controls=settings.control_inputs(),
        regions=settings.region_inputs(painted=True), target=scene.freeze_target(context, kind),
        **settings.keywords(TEXT_TO_IMAGE)))


def is_mesh(context: bpy.types.Context) -> bool:
    return context.object is not None and context.object.type == "MESH"


CLASSES = (SD_OT_generate, SD_OT_generate_onto)
