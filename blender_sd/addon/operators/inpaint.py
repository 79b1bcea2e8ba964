"""Mask → the slot's image with the masked part painted anew; and the mask to paint on."""
from __future__ import annotations

import bpy

from ... import api, scene
from ...protocol.errors import SDError
from ...protocol.request import INPAINT
from .start import can_do, can_find, first_refusal, refuse, start


class SD_OT_new_mask(bpy.types.Operator):
    """Make a black mask for the active image and paint on it: white parts are painted anew by Inpaint"""

    bl_idname = "sd.new_mask"
    bl_label = "Stable Diffusion: Paint Inpaint Mask"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.masked_image, context)

    def execute(self, context):
        try:
            image, _ = scene.masked_image(context)
            mask = scene.mask_of(image)
            if mask is None:
                scene.new_mask(image, context)
            else:
                scene.show_mask(mask, context)
        except SDError as error:
            return refuse(self, error)
        context.scene.sd.mask_source = "PAINTED"
        return {"FINISHED"}


class SD_OT_inpaint(bpy.types.Operator):
    """Paint the masked part of the active image anew after the prompt. All other pixels stay; the old image stays in the file"""

    bl_idname = "sd.inpaint"
    bl_label = "Stable Diffusion: Inpaint Texture"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        if not can_find(cls, scene.masked_image, context) or not can_do(cls, context, INPAINT):
            return False
        painted = context.scene.sd.mask_source == "PAINTED"
        return first_refusal(cls, (not painted or scene.mask_of(scene.masked_image(context)[0]) is not None,
                                   "Make a mask first: click Paint Mask, or choose an image as the mask"))

    def execute(self, context):
        settings = context.scene.sd

        def order(seed):
            image, target = scene.masked_image(context)
            mask = scene.mask_of(image) if settings.mask_source == "PAINTED" else settings.mask_source
            return api.inpaint(
                image, mask, settings.words(), strength=settings.inpaint_strength, grow=settings.mask_grow, feather=settings.mask_feather,
                full_res=settings.mask_full_res, context=settings.mask_context, tile=settings.tile, controls=settings.steers(),
                seed=seed, target=target, label=settings.words() or f"Inpaint {image.name}", **settings.order())

        return start(self, context, order)


CLASSES = (SD_OT_new_mask, SD_OT_inpaint)
