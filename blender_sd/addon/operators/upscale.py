"""Texture slot → larger texture, with detail that the model adds."""
from __future__ import annotations

import bpy

from ... import api, scene
from ...protocol.request import UPSCALE
from .start import can_do, can_find, start


class SD_OT_upscale(bpy.types.Operator):
    """Enlarge the image of the active texture slot and let the model add detail. The old image stays in the file"""

    bl_idname = "sd.upscale"
    bl_label = "Stable Diffusion: Upscale Texture Slot"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot_image, context) and can_do(cls, context, UPSCALE)

    def execute(self, context):
        settings = context.scene.sd

        def order(seed):
            image, target = scene.active_slot_image(context)
            return api.upscale(image, settings.words(), scale=settings.upscale_scale, strength=settings.upscale_strength,
                               tile=settings.tile, upscaler=settings.upscaler, upscaler_noise=settings.upscaler_noise, seed=seed,
                               target=target, label=f"Upscale {image.name}", **settings.order())

        return start(self, context, order)


CLASSES = (SD_OT_upscale,)
