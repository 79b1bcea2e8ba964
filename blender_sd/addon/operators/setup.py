"""The engine's own Python: set it up, cancel, repair, remove, or use another one."""
from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ... import setup, studio
from ...protocol.errors import SDError
from .. import installing, tick
from .start import first_refusal

OFFLINE = "Blender may not use the internet: allow it, or choose a folder of wheels"
FORBIDDEN = "Your studio's policy allows no downloads: choose a folder of wheels"
_BUSY = "The engine is being worked on; wait, or cancel that first"


class SD_OT_set_up_engine(bpy.types.Operator):
    """Make a virtual environment for the engine, as the panel says. Blender stays free; what was broken off goes on where it stopped"""

    bl_idname = "sd.set_up_engine"
    bl_label = "Stable Diffusion: Set Up the Engine"

    @classmethod
    def poll(cls, context):
        shown = context.window_manager.sd_setup
        return first_refusal(cls, (not shown.running, _BUSY), (studio.state.network or shown.wheels, FORBIDDEN),
                             (bpy.app.online_access or shown.wheels, OFFLINE))

    def execute(self, _context):
        shown = installing.state()
        return _start(self, lambda: setup.install_engine(shown.accelerator, wheels=bpy.path.abspath(shown.wheels)))


class SD_OT_repair_engine(bpy.types.Operator):
    """Set the engine up anew, for the accelerator that is chosen. The one that is there stays in use until the new one is ready"""

    bl_idname = "sd.repair_engine"
    bl_label = "Stable Diffusion: Repair the Engine"

    @classmethod
    def poll(cls, context):
        return SD_OT_set_up_engine.poll.__func__(cls, context)

    def execute(self, _context):
        shown = installing.state()
        return _start(self, lambda: setup.install_engine(shown.accelerator, wheels=bpy.path.abspath(shown.wheels), repair=True))


class SD_OT_remove_engine(bpy.types.Operator):
    """Delete the engine's environment, and what cancelled set-ups have left. Models and pictures stay"""

    bl_idname = "sd.remove_engine"
    bl_label = "Stable Diffusion: Remove the Engine"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (not context.window_manager.sd_setup.running, _BUSY))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context):
        return _start(self, setup.remove_engine)


class SD_OT_cancel_setup(bpy.types.Operator):
    """Stop what is being done. What was downloaded is kept, and the next set-up goes on from there"""

    bl_idname = "sd.cancel_setup"
    bl_label = "Stable Diffusion: Cancel the Engine's Set-Up"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.window_manager.sd_setup.running, "Nothing is going on"))

    def execute(self, _context):
        for one in setup.installations():
            one.cancel()
        tick.soon()
        return {"FINISHED"}


class SD_OT_use_python(bpy.types.Operator):
    """Choose a Python that has torch, diffusers and transformers already. It is looked at first, and what it lacks is named"""

    bl_idname = "sd.use_python"
    bl_label = "Stable Diffusion: Use an Existing Python"

    filepath: StringProperty(name="Python", subtype="FILE_PATH", description="The interpreter itself: python or python.exe")

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (not context.window_manager.sd_setup.running, _BUSY))

    def invoke(self, context, _event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context):
        return _start(self, lambda: setup.check_python(bpy.path.abspath(self.filepath)))


def _start(operator: bpy.types.Operator, order) -> set[str]:
    """Calls `order`; an SDError is reported and shown, and nothing is changed."""
    shown = installing.state()
    shown.error = shown.hint = shown.text = ""
    try:
        order()
    except SDError as error:
        shown.error, shown.hint = error.message, error.hint
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    tick.soon()
    return {"FINISHED"}


CLASSES = (SD_OT_set_up_engine, SD_OT_repair_engine, SD_OT_remove_engine, SD_OT_cancel_setup, SD_OT_use_python)
