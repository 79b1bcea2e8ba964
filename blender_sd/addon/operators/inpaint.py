"""Repaint the masked part of the slot's image."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import inpainting
from ...core.tasks import INPAINT
from .start import Prompted, can_do, can_find, first_refusal, start


class SD_OT_inpaint(Prompted, bpy.types.Operator):
    bl_description = ("Repaint the masked part of the active image after the prompt. All other pixels stay; the old "
                      "image stays in the file")

    bl_idname = "sd.inpaint"
    bl_label = "Stable Diffusion: Inpaint"
    bl_options = {"REGISTER"}
    sd_task = INPAINT

    @classmethod
    def poll(cls, context):
        if not can_find(cls, scene.masked_image, context) or not can_do(cls, context, INPAINT):
            return False
        painted = context.scene.sd.mask_source == "PAINTED"
        return first_refusal(cls, (not painted or scene.mask_of(scene.masked_image(context)[0]) is not None,
                                   "Make a mask first: click Paint Mask, or choose an image as the mask"))

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.masked_image(context)
            scene.finish_painting(context)
            mask = scene.mask_of(image) if settings.mask_source == "PAINTED" else settings.mask_source
            words = self.words(context, image)
            return inpainting.inpaint(
                image, mask, words.prompt, controls=settings.control_inputs(), seed=seed, target=target,
                label=words.prompt or f"Inpaint {image.name}", **settings.keywords(INPAINT, words))

        return start(self, context, submit)


CLASSES = (SD_OT_inpaint,)
