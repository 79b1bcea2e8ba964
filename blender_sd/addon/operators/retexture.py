"""Repaint the image of the active slot and put the result in that slot as a new image."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import image_to_image
from ...core.tasks import IMAGE_TO_IMAGE
from ..declared import exact
from .start import can_find, can_restyle, start


class SD_OT_retexture(bpy.types.Operator):
    bl_description = ("Repaint the image of the active texture slot after the prompt. A new image takes its place; the "
                      "old one stays in the file")

    bl_idname = "sd.retexture"
    bl_label = "Stable Diffusion: Retexture Slot"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot_image, context) and can_restyle(cls, context)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.active_slot_image(context)
            return image_to_image.restyle(
                image, settings.words(), strength=exact(settings, "slot_strength"), controls=settings.control_inputs(),
                regions=settings.region_inputs(), seed=seed, target=target, label=settings.words() or image.name,
                **settings.keywords(IMAGE_TO_IMAGE))

        return start(self, context, submit)


CLASSES = (SD_OT_retexture,)
