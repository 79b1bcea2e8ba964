"""Restyle an animation: keyframes first, then all frames; pause, and replace keyframes."""
from __future__ import annotations

import os

import bpy
from bpy.props import BoolProperty, IntProperty

from ...calls import sequences
from ...core.errors import SDError
from ...core.tasks import RESTYLE_SEQUENCE
from .. import animation
from ..declared import exact
from .cancel import OfOneJob
from .start import can_do, first_refusal, refuse, start, without_grid


class SD_OT_restyle_animation(bpy.types.Operator):
    bl_description = ("Repaint every frame of the animation after the prompt, so that what is painted stays on its "
                      "surface. Blender renders in the background, and you can go on working")

    bl_idname = "sd.restyle_animation"
    bl_label = "Stable Diffusion: Restyle Animation"
    bl_options = {"REGISTER"}

    keyframes_only: BoolProperty(name="Keyframes Only", options={"SKIP_SAVE"}, description=(
        "Paint only the keyframes, as a preview of the style"))

    @classmethod
    def poll(cls, context):
        error = animation.refusal(context.scene.sd.animation)
        return first_refusal(cls, (error is None, str(error))) and can_do(cls, context, RESTYLE_SEQUENCE)

    def execute(self, context):
        settings = context.scene.sd
        try:
            given = settings.animation.keywords()
        except SDError as error:
            return refuse(self, error)
        keywords = {**without_grid(settings.keywords(RESTYLE_SEQUENCE)),
                    "strength": exact(settings, "restyle_sequence_strength")}
        jobs = []
        goes_on = (settings.random_seed and given["resume"] and not self.keyframes_only
                   and not sequences.is_finished(given["output"]))

        def submit(seed: int):
            jobs.append(sequences.restyle_sequence(
                settings.words(), seed=None if goes_on else seed, keyframes_only=self.keyframes_only,
                regions=settings.region_inputs(), controls=settings.control_inputs(),
                movie=sequences.BESIDE if settings.animation.movie else None,
                exr=settings.animation.exr, **given, **keywords))
            return jobs[-1]

        done = start(self, context, submit)
        if jobs:
            settings.take_seed(jobs[-1].request.seed)
            if given["output"] is None or given["spare"]:
                settings.animation.made = jobs[-1].folder
            settings.animation.output = jobs[-1].folder
            if self.keyframes_only:
                animation.watch(jobs[-1])
        return done


class SD_OT_pause_job(OfOneJob, bpy.types.Operator):
    """Stop this animation until it is resumed; frames that are finished stay"""

    bl_idname = "sd.pause_job"
    bl_label = "Stable Diffusion: Pause or Resume Animation"

    def execute(self, _context):
        if self.done(lambda job: sequences.resume_job(job) or sequences.pause_job(job)):
            return {"FINISHED"}
        self.report({"WARNING"}, "This job cannot be paused")
        return {"CANCELLED"}


class SD_OT_own_keyframe(bpy.types.Operator):
    """Let a picture of yours stand for this keyframe, or the model's own again"""

    bl_idname = "sd.own_keyframe"
    bl_label = "Stable Diffusion: Replace Keyframe"
    bl_options = {"REGISTER", "UNDO"}

    frame: IntProperty(name="Frame", description="The keyframe")

    def execute(self, context):
        items = context.scene.sd.animation.keyframes
        place = next((place for place, item in enumerate(items) if item.frame == self.frame), None)
        if place is not None:
            items.remove(place)
            return {"FINISHED"}
        item = items.add()
        item.frame = self.frame
        path = dict(animation.strip).get(self.frame)
        if path is not None and os.path.isfile(path):  # to be painted on: the model's own is where one begins
            item.image = bpy.data.images.load(path, check_existing=False)
            item.image.pack()
        return {"FINISHED"}


CLASSES = (SD_OT_restyle_animation, SD_OT_pause_job, SD_OT_own_keyframe)
