"""Decide whether the newest result is visible on the model, and offer another shading if it is not."""
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import scene
from ..calls import job_queue
from ..scene import visibility
from . import preference_access
from .layout import wrapped
from .translations.words import translated

if TYPE_CHECKING:
    from ..session.job import Job

_WORDS = {"SOLID": "The result is on the model, but Solid shading does not show it.",
          "WIREFRAME": "The result is on the model, but Wireframe shading does not show it.",
          "RENDERED": "The result is on the model, but Workbench does not show it."}

_job = ""  # whose result it is
_materials: list = []  # that show it on the model, as `scene` identifies them


def update() -> bool:
    """Update `WindowManager.sd.hidden_by`, and set the shading if the preferences say so.

    Returns:
        Whether anything changed.
    """
    global _job, _materials
    newest = next((job for job in reversed(job_queue.jobs()) if job.state == "finished"), None)
    fresh = newest is not None and newest.id != _job
    if fresh:
        _job, _materials = newest.id, _wearing(newest)
    hidden = visibility.hiding(_materials)
    prefs = preference_access.get()
    if fresh and hidden and prefs is not None and prefs.result_shading != "ASK":
        visibility.reveal(bpy.context, prefs.result_shading)
        hidden = visibility.hiding(_materials)
    state = bpy.context.window_manager.sd
    if hidden == state.hidden_by:
        return False
    state.hidden_by = hidden
    return True


def forget() -> None:
    """Forget the last result, because another file was opened."""
    global _materials
    _materials = []


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw that the shading hides the result, with the button that shows it; nothing if it is visible."""
    words = _WORDS.get(context.window_manager.sd.hidden_by)
    if words is None:
        return
    box = layout.box()
    wrapped(box, context, words, "HIDE_ON")
    row = box.row(align=True)
    row.operator("sd.show_result", text="Show in Material Preview", icon="SHADING_TEXTURE").shading = "MATERIAL"
    row.menu("SD_MT_show_result", text="", icon="DOWNARROW_HLT")


class SD_MT_show_result(bpy.types.Menu):
    """The other ways to show a result that the shading hides"""

    bl_idname = "SD_MT_show_result"
    bl_label = "Show the Result"

    def draw(self, _context) -> None:
        for text, shading, always in (("Show in Solid with Texture Color", "TEXTURE", False),
                                      ("Always Show Results in Material Preview", "MATERIAL", True),
                                      ("Always Show Results in Solid with Texture Color", "TEXTURE", True)):
            button = self.layout.operator("sd.show_result", text=translated(text))
            button.shading, button.always = shading, always


CLASSES = (SD_MT_show_result,)


# ---- inside --------------------------------------------------------------------------------------------------------


def _wearing(job: Job) -> list:
    """Return the materials on screen that contain any picture of `job`.

    The first may be a sheet of views, or what a material's maps were made of; objects wear the others.
    They are searched for in the file, since the images that the job holds may no longer exist: undo and opening a file
    leave dead references, which crash Blender.
    """
    if job.frames:  # an animation, of thousands of pictures that no object wears
        return []
    images = [scene.picture_of(result.path) for result in job.results if result.path]
    wearing: list = []
    for image in filter(None, images):
        wearing += [material for material in visibility.materials_with(image, bpy.context.view_layer)
                    if material not in wearing]
    return wearing
