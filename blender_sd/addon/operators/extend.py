"""Extend the slot's image beyond its borders, or make it repeat without a seam."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import inpainting
from ...core.tasks import MAKE_SEAMLESS, OUTPAINT
from .start import Prompted, can_do, can_find, first_refusal, start


class SD_OT_outpaint(Prompted, bpy.types.Operator):
    """Paint on beyond the borders of the active image. A larger image takes its place; the old one stays in the file"""

    bl_idname = "sd.outpaint"
    bl_label = "Stable Diffusion: Outpaint"
    bl_options = {"REGISTER"}
    sd_task = OUTPAINT

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.masked_image, context) and can_do(cls, context, OUTPAINT) and first_refusal(
            cls, (context.scene.sd.grows(), "Set by how many pixels the picture is to grow"))

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.masked_image(context)
            words = self.words(context, image)
            return inpainting.outpaint(
                image, words.prompt, aspect=settings.aspect(), seed=seed, target=target,
                label=words.prompt or f"Outpaint {image.name}",
                **{**settings.keywords(OUTPAINT, words), "tiling": "none"})

        return start(self, context, submit)


class SD_OT_make_seamless(Prompted, bpy.types.Operator):
    bl_description = ("Repaint a band across the border, so that the active image repeats along Tiling's axes, or "
                      "both. The old image stays")

    bl_idname = "sd.make_seamless"
    bl_label = "Stable Diffusion: Make Seamless"
    bl_options = {"REGISTER"}
    sd_task = MAKE_SEAMLESS

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.masked_image, context) and can_do(cls, context, MAKE_SEAMLESS)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.masked_image(context)
            tiling = "xy" if settings.tiling == "none" else settings.tiling
            words = self.words(context, image)
            return inpainting.make_seamless(
                image, words.prompt, seed=seed, target=target, label=f"Seamless {image.name}",
                **{**settings.keywords(MAKE_SEAMLESS, words), "tiling": tiling})

        return start(self, context, submit)


CLASSES = (SD_OT_outpaint, SD_OT_make_seamless)
