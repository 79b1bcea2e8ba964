"""The slot's image, extended: painted on beyond its borders, or made to repeat without a seam."""
from __future__ import annotations

import bpy

from ... import api, scene
from ...protocol.request import MAKE_SEAMLESS, OUTPAINT
from .start import can_do, can_find, first_refusal, start


class SD_OT_outpaint(bpy.types.Operator):
    """Paint on beyond the borders of the active image. A larger image takes its place; the old one stays in the file"""

    bl_idname = "sd.outpaint"
    bl_label = "Stable Diffusion: Outpaint Texture"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.masked_image, context) and can_do(cls, context, OUTPAINT) and first_refusal(
            cls, (any(context.scene.sd.growth().values()), "Set by how many pixels the picture is to grow"))

    def execute(self, context):
        settings = context.scene.sd

        def order(seed):
            image, target = scene.masked_image(context)
            return api.outpaint(image, settings.words(), **settings.growth(), seed=seed, target=target,
                                label=settings.words() or f"Outpaint {image.name}", **settings.order(without="tiling"))

        return start(self, context, order)


class SD_OT_make_seamless(bpy.types.Operator):
    """Paint a band across the border anew, so that the active image repeats along Tiling's axes, or both. The old image stays"""

    bl_idname = "sd.make_seamless"
    bl_label = "Stable Diffusion: Make Texture Seamless"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.masked_image, context) and can_do(cls, context, MAKE_SEAMLESS)

    def execute(self, context):
        settings = context.scene.sd

        def order(seed):
            image, target = scene.masked_image(context)
            tiling = "xy" if settings.tiling == "none" else settings.tiling
            return api.make_seamless(image, settings.words(), tiling=tiling, band=settings.band, strength=settings.seamless_strength,
                                     seed=seed, target=target, label=f"Seamless {image.name}", **settings.order(without="tiling"))

        return start(self, context, order)


CLASSES = (SD_OT_outpaint, SD_OT_make_seamless)
