"""Restore an image's settings in the panel."""
from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ... import scene
from ...calls.reading import read_settings
from ...core.errors import SDError, SourceUnusable
from ...core.names import suggestion
from ..translations.words import translated
from .start import refuse


class SD_OT_recall(bpy.types.Operator):
    bl_description = ("Fill the SD tab with the settings that made the image shown here (or, with Ctrl, those in a "
                      "picture file, also of another program)")

    bl_idname = "sd.recall"
    bl_label = "Stable Diffusion: Recall Settings from Image"
    bl_options = {"REGISTER", "UNDO"}

    image: StringProperty(name="Image", description="The image to read; empty for the one shown in this editor")
    filepath: StringProperty(name="File", subtype="FILE_PATH",
                             description="A picture file to read instead of an image in this .blend file")
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.webp", options={"HIDDEN"},
                                description="Which files the file browser shows")

    def invoke(self, context, event):
        if event.ctrl or event.oskey or (not self.image and shown_image(context) is None):
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        self.filepath = ""
        return self.execute(context)

    def execute(self, context):
        try:
            made = read_settings(bpy.path.abspath(self.filepath) if self.filepath else self._image(context))
            context.scene.sd.fill_from(made.request, whole=not made.program)
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"},
                    translated(f"Settings of {made.program} recalled") if made.program else "Settings recalled")
        if made.unused:
            unused = ", ".join(f"{name}: {value:.40}" for name, value in made.unused.items())
            self.report({"WARNING"}, translated(f"Without a counterpart here: {unused}"))
        return {"FINISHED"}

    def _image(self, context):
        image = bpy.data.images.get(self.image) if self.image else shown_image(context)
        if image is None and self.image:
            raise SourceUnusable(f"There is no image called '{self.image}'.",
                                 suggestion(self.image, bpy.data.images.keys()))
        if image is None:
            raise SourceUnusable("No image is shown here.", "Open one in the Image Editor, or choose a picture file.")
        return image


def shown_image(context: bpy.types.Context) -> bpy.types.Image | None:
    """Return the image that the artist is looking at: the Image Editor's, or the active slot's."""
    if context.space_data is not None and context.space_data.type == "IMAGE_EDITOR":
        return context.space_data.image
    try:
        return scene.active_slot_image(context)[0]
    except SDError:
        return None


CLASSES = (SD_OT_recall,)
