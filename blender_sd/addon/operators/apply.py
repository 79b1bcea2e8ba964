"""Apply an existing image to the active object."""
from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ...calls import job_queue, placing
from ...core.errors import SDError, SourceUnusable
from ...core.names import suggestion
from .generate import is_mesh
from .recall import shown_image
from .start import first_refusal, refuse


class SD_OT_apply(bpy.types.Operator):
    """Put an image into the active object's material; material, shader, UV map and image node are made where missing"""

    bl_idname = "sd.apply"
    bl_label = "Stable Diffusion: Apply Image to Object"
    bl_options = {"REGISTER", "UNDO"}

    image: StringProperty(
        name="Image", description="The image to use; empty for the one shown in this editor, else the last one made")
    slot: StringProperty(name="Slot", default="Base Color",
                         description="The input of the material's shader that takes the image")

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (is_mesh(context), "Select a mesh object"))

    def execute(self, context):
        try:
            placing.apply(self._image(context), context.object, self.slot)
        except SDError as error:
            return refuse(self, error)
        return {"FINISHED"}

    def _image(self, context):
        image = bpy.data.images.get(self.image) if self.image else shown_image(context) or _newest()
        if image is None and self.image:
            raise SourceUnusable(f"There is no image called '{self.image}'.",
                                 suggestion(self.image, bpy.data.images.keys()))
        if image is None:
            raise SourceUnusable("There is no image to apply.", "Generate one, or open one in the Image Editor.")
        return image


def _newest() -> bpy.types.Image | None:
    """Return the newest job's first picture that is still in the file.

    Jobs are asked for paths, because undo invalidates references to images.
    """
    for job in reversed(job_queue.jobs()):
        for result in job.results:
            for image in bpy.data.images:
                if bpy.path.abspath(image.filepath) == result.path:
                    return image
    return None


CLASSES = (SD_OT_apply,)
