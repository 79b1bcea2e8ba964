"""An image's settings back into the panel."""
from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ... import api, scene
from ...protocol.errors import SDError, SourceUnusable
from .start import refuse


class SD_OT_recall(bpy.types.Operator):
    """Fill the SD tab with the settings that made the image shown here (or, with Ctrl, those in a PNG file)"""

    bl_idname = "sd.recall"
    bl_label = "Stable Diffusion: Recall Settings from Image"
    bl_options = {"REGISTER", "UNDO"}

    image: StringProperty(name="Image", description="The image to read; empty for the one shown in this editor")
    filepath: StringProperty(name="File", subtype="FILE_PATH", description="A PNG file to read instead of an image in this .blend file")
    filter_glob: StringProperty(default="*.png", options={"HIDDEN"}, description="Which files the file browser shows")

    def invoke(self, context, event):
        if event.ctrl or (not self.image and shown_image(context) is None):
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        self.filepath = ""
        return self.execute(context)

    def execute(self, context):
        try:
            request = api.recall(bpy.path.abspath(self.filepath) if self.filepath else self._image(context))
            context.scene.sd.fill_from(request)
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"}, "Settings recalled")
        return {"FINISHED"}

    def _image(self, context):
        image = bpy.data.images.get(self.image) if self.image else shown_image(context)
        if image is None:
            raise SourceUnusable(f"There is no image called '{self.image}'." if self.image else "No image is shown here.",
                                 "Open one in the Image Editor, or choose a PNG file.")
        return image


def shown_image(context: bpy.types.Context) -> bpy.types.Image | None:
    """The image that the person is looking at: the Image Editor's, or the active slot's."""
    if context.space_data is not None and context.space_data.type == "IMAGE_EDITOR":
        return context.space_data.image
    try:
        return scene.active_slot_image(context)[0]
    except SDError:
        return None


CLASSES = (SD_OT_recall,)
