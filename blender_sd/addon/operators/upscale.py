"""Enlarge the slot's image, with detail that the model adds."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import upscaling
from ...core.tasks import UPSCALE
from .start import Prompted, can_do, can_find, start


class SD_OT_upscale(Prompted, bpy.types.Operator):
    """Enlarge the image of the active texture slot and let the model add detail. The old image stays in the file"""

    bl_idname = "sd.upscale"
    bl_label = "Stable Diffusion: Upscale"
    bl_options = {"REGISTER"}
    sd_task = UPSCALE

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot_image, context) and can_do(cls, context, UPSCALE)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.active_slot_image(context)
            words = self.words(context, image)
            return upscaling.upscale(
                image, words.prompt, scale=settings.upscale_scale, seed=seed, target=target,
                label=f"Upscale {image.name}", **settings.keywords(UPSCALE, words))

        return start(self, context, submit)


CLASSES = (SD_OT_upscale,)
