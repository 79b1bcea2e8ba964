"""Use an existing Python: offer the environments in the usual places, or open the file browser."""
from __future__ import annotations

import os
import threading
import time

import bpy
from bpy.props import BoolProperty, StringProperty

from ...calls import installation
from ...library.interpreters import Interpreter
from ..layout import wrapped
from .installation import BUSY, begin
from .start import first_refusal

_LOOK = 0.3  # seconds that a click waits for the list; a slower disk fills it for the next click
_BROWSER = 2.0  # seconds within which the file browser is open
# Blender compares these with names that begin with a separator, so each pattern begins with a star.
_PROGRAMS = "*python;*python3;*python3.?;*python3.??;*python.exe;*python3.exe"

_interpreters: list[Interpreter] = []
_looking: threading.Thread | None = None


def look(near: str) -> threading.Thread:
    """Search for environments, first in the folder `near`, unless a search is running. Return its thread."""
    global _looking
    if _looking is None or not _looking.is_alive():
        _looking = threading.Thread(target=_look, args=(near,), name="blender_sd pythons", daemon=True)
        _looking.start()
    return _looking


def _look(near: str) -> None:
    _interpreters[:] = installation.find_pythons(near)


class SD_OT_offer_pythons(bpy.types.Operator):
    bl_description = ("Use a Python that has torch, diffusers and transformers already: one that is found on this "
                      "computer, or any other")

    bl_idname = "sd.offer_pythons"
    bl_label = "Stable Diffusion: Use an Existing Python"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (not context.window_manager.sd_setup.running, BUSY))

    def execute(self, _context):
        near = os.path.dirname(bpy.data.filepath)
        search = look(near)
        search.join(_LOOK)
        if _interpreters or search.is_alive():
            return bpy.ops.wm.call_menu(name=SD_MT_pythons.bl_idname)
        return bpy.ops.sd.use_python("INVOKE_DEFAULT")


class SD_OT_use_python(bpy.types.Operator):
    """Check this Python, name what it lacks, and let the engine run on it"""

    bl_idname = "sd.use_python"
    bl_label = "Use This Python"  # the file browser's button shows it
    bl_options = {"INTERNAL"}

    filepath: StringProperty(name="Python", subtype="FILE_PATH", options={"SKIP_SAVE"}, description=(
        "A virtual environment, its bin or Scripts folder, a conda environment, or the interpreter itself"))
    filter_glob: StringProperty(name="Filter", default=_PROGRAMS, options={"HIDDEN"},
                                description="Files that the file browser shows")
    filter_folder: BoolProperty(name="Folders", default=True, options={"HIDDEN"},
                                description="Whether the file browser shows folders")

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (not context.window_manager.sd_setup.running, BUSY))

    @classmethod
    def description(cls, _context, properties):
        return properties.filepath

    def invoke(self, context, _event):
        if self.filepath:  # chosen in the menu
            return self.execute(context)
        self.filepath = os.path.join(os.path.dirname(bpy.data.filepath) or os.path.expanduser("~"), "")
        context.window_manager.fileselect_add(self)
        _show_hidden_soon()
        return {"RUNNING_MODAL"}

    def draw(self, context):
        wrapped(self.layout, context, "Choose a virtual environment's folder, its bin or Scripts, a conda environment, "
                                      "or the interpreter itself. It needs torch, diffusers and transformers.",
                                      "INFO")

    def execute(self, _context):
        return begin(self, lambda: installation.check_python(bpy.path.abspath(self.filepath)))


class SD_MT_pythons(bpy.types.Menu):
    """The environments that were found, and the way to any other"""

    bl_idname = "SD_MT_pythons"
    bl_label = "Use an Existing Python"

    def draw(self, _context) -> None:
        for choice in _interpreters:
            button = self.layout.operator(
                "sd.use_python", text=_shown(choice.folder), icon="FILE_SCRIPT", translate=False)
            button.filepath = choice.python
        if _looking is not None and _looking.is_alive():
            self.layout.label(text="Still looking; open this menu again")
        self.layout.separator()
        self.layout.operator_context = "INVOKE_DEFAULT"
        self.layout.operator("sd.use_python", text="Choose a Folder or File…", icon="FILE_FOLDER").filepath = ""


def _shown(folder: str) -> str:
    """Return `folder` for display, relative to the home folder if it is inside."""
    home = os.path.expanduser("~")
    return "~" + folder[len(home):] if folder.startswith(home + os.sep) else folder


def _show_hidden_soon() -> None:
    """Show hidden folders, such as .venv, once the file browser is open: before that it has no settings to change."""
    until = time.monotonic() + _BROWSER

    def show() -> float | None:
        return None if _show_hidden() or time.monotonic() > until else 0.05

    bpy.app.timers.register(show, first_interval=0.05)


def _show_hidden() -> bool:
    """Show hidden folders; return whether the file browser of `sd.use_python` was open."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "FILE_BROWSER" and getattr(space.active_operator, "bl_idname",
                                                       "") == "SD_OT_use_python" and space.params:
                space.params.show_hidden = True
                return True
    return False


CLASSES = (SD_OT_offer_pythons, SD_OT_use_python, SD_MT_pythons)
