"""Operate on what "Where Did This Come From" shows: read the image's file, open and recall pictures of its chain."""
from __future__ import annotations

import bpy
from bpy.props import IntProperty

from ... import scene
from ...calls import history
from ...core.errors import SDError, SourceUnusable
from ...library.lineage import Link
from .. import image_origin, tick
from ..translations.words import translated
from .recall import shown_image
from .start import first_refusal, refuse

_PATIENCE = 0.5  # seconds that a button waits for the file: an open popover is redrawn only after a click
_NO_IMAGE = "Open an image in the Image Editor, or select an image node"


class _OfImage:
    """Base of the operators on the image that the editor shows."""

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (shown_image(context) is not None, _NO_IMAGE))


class _OfFile(_OfImage):
    """Base of the operators that have the image's file read in a thread."""

    def execute(self, context):
        try:
            self.begin(shown_image(context))
        except SDError as error:
            return refuse(self, error)
        tick.soon()
        return {"FINISHED"}


class SD_OT_look_into_file(_OfFile, bpy.types.Operator):
    bl_description = ("Read what the image's PNG file says of itself: settings of this add-on, content credentials, "
                      "and what other programs wrote")

    bl_idname = "sd.look_into_file"
    bl_label = "Stable Diffusion: Look into the Image's File"
    bl_options = {"REGISTER"}

    def begin(self, image):
        image_origin.look_into(image)
        image_origin.wait_for_look(_PATIENCE)


class SD_OT_check_credentials(_OfFile, bpy.types.Operator):
    bl_description = ("Check the content credentials of the image's file: whether it is as it was signed, and by whom. "
                      "Takes a few seconds")

    bl_idname = "sd.check_credentials"
    bl_label = "Stable Diffusion: Check Content Credentials"
    bl_options = {"REGISTER"}

    def begin(self, image):
        image_origin.check(image)


class SD_OT_copy_origin(_OfImage, bpy.types.Operator):
    """Copy all that is known of this image as text, prompt and chain of edits included"""

    bl_idname = "sd.copy_origin"
    bl_label = "Stable Diffusion: Copy Where the Image Comes From"
    bl_options = {"REGISTER"}

    def execute(self, context):
        context.window_manager.clipboard = image_origin.text_of(shown_image(context))
        self.report({"INFO"}, "Copied")
        return {"FINISHED"}


class _OfLink(_OfImage):
    """Base of the operators on one picture of the chain: number `index` of those shown."""

    index: IntProperty(name="Number", min=0, options={"SKIP_SAVE"},
                       description="Which picture of the chain is meant, from 0")

    def link(self, context) -> Link:
        """Return the link of the chain. Raise SourceUnusable if it no longer exists."""
        chain = image_origin.details_of(shown_image(context)).chain or ()
        if self.index >= len(chain) or not chain[self.index].path:
            raise SourceUnusable("This picture of the chain is gone.",
                                 "Its copy in the output folder was deleted or never made.")
        return chain[self.index]

    def execute(self, context):
        try:
            return self.act(context, self.link(context))
        except SDError as error:
            return refuse(self, error)


class SD_OT_open_link(_OfLink, bpy.types.Operator):
    """Open this picture in the Image Editor"""

    bl_idname = "sd.open_link"
    bl_label = "Open Picture of the Chain"
    bl_options = {"UNDO", "INTERNAL"}

    def act(self, context, link):
        ours = link.known.request is not None and not link.problem
        image = history.open_picture(link.path) if ours else scene.load_kept(link.path)
        image.use_fake_user = True
        if context.space_data is not None and context.space_data.type == "IMAGE_EDITOR":
            context.space_data.image = image
        elif not scene.show_in_editor(image):
            self.report({"INFO"}, translated(f"'{image.name}' is in this file now. Open an Image Editor to see it"))
        return {"FINISHED"}


class SD_OT_recall_link(_OfLink, bpy.types.Operator):
    """Fill the SD tab with the settings that made this picture of the chain"""

    bl_idname = "sd.recall_link"
    bl_label = "Recall Settings of the Chain's Picture"
    bl_options = {"UNDO", "INTERNAL"}

    def act(self, context, link):
        if link.known.request is None:
            raise SourceUnusable("This picture carries no settings.", "Choose one that was made with this add-on.")
        context.scene.sd.fill_from(link.known.request)
        self.report({"INFO"}, "Settings recalled")
        return {"FINISHED"}


CLASSES = (SD_OT_look_into_file, SD_OT_check_credentials, SD_OT_copy_origin, SD_OT_open_link, SD_OT_recall_link)
