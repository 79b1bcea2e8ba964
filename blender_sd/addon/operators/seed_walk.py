"""Paint variations of the slot's image, from small ones to larger ones."""
from __future__ import annotations

import bpy

from ... import scene
from ...calls import seed_walk
from ...core.tasks import SEED_WALK
from .start import Prompted, can_do, can_find, start


class SD_OT_seed_walk(Prompted, bpy.types.Operator):
    """Paint variations of the image of the active slot, as many as Images says, each a little further from it. All are new images; the slot shows the first"""  # noqa: E501

    bl_idname = "sd.seed_walk"
    bl_label = "Stable Diffusion: Seed Walk"
    bl_options = {"REGISTER"}
    sd_task = SEED_WALK

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot_image, context) and can_do(cls, context, SEED_WALK)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, target = scene.active_slot_image(context)
            words = self.words(context, image)
            keywords = settings.keywords(SEED_WALK, words)
            if settings.random_seed:
                keywords["variation_seed"] = None  # drawn
            return seed_walk.seed_walk(
                image, words.prompt, controls=settings.control_inputs(), seed=seed, target=target,
                label=f"Seed Walk {image.name}", **keywords)

        return start(self, context, submit)


CLASSES = (SD_OT_seed_walk,)
