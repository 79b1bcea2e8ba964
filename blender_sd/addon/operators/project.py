"""Repaint what the 3D View or the camera shows, and bake it into the textures of the objects."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ...calls import baking
from ...core.platforms import without_embree
from ...core.roles import BAKE_PICTURES
from ...core.tasks import IMAGE_TO_IMAGE, INPAINT
from ..declared import exact
from .start import can_do, first_refusal, start

VIEWS = (("VIEWPORT", "3D View", "What the 3D View shows", "VIEW3D", 0),
         ("CAMERA", "Camera", "What the scene's camera shows, rendered now", "CAMERA_DATA", 1))


class SD_OT_project(bpy.types.Operator):
    bl_description = ("Repaint what is seen from here after the prompt, and bake it into the base color of the "
                      "selected objects, or of all in view if none is selected. What is not seen well stays as it is")

    bl_idname = "sd.project"
    bl_label = "Stable Diffusion: Project from Here"
    bl_options = {"REGISTER"}

    view: EnumProperty(name="View", description="Where it is seen from", items=VIEWS, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        name = without_embree()
        task = INPAINT if context.scene.sd.project_objects else IMAGE_TO_IMAGE
        return first_refusal(cls, (not name, f"Pictures cannot be baked onto objects on {name}")) and can_do(
            cls, context, task)

    def execute(self, context):
        settings = context.scene.sd
        return start(self, context, lambda seed: baking.project(
            self.view, settings.words(), strength=exact(settings, "render_strength"),
            controls=settings.control_inputs(), mask="OBJECTS" if settings.project_objects else None,
            single_user=settings.project_single_user, debug=BAKE_PICTURES if settings.project_debug else (), seed=seed,
            label=settings.words() or "Projection", **settings.keywords(IMAGE_TO_IMAGE)))


CLASSES = (SD_OT_project,)
