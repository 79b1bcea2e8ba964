"""Install, cancel, repair and remove the engine's own Python. `interpreters.py` uses an existing one instead."""
from __future__ import annotations

from collections.abc import Callable

import bpy

from ...calls import installation
from ...calls.runtime import runtime
from ...core.errors import SDError
from .. import installation as installation_view, tick
from ..translations.words import translated
from .start import first_refusal

OFFLINE = "Blender may not use the internet: allow it, or choose a folder of wheels"
FORBIDDEN = "Your studio's policy allows no downloads: choose a folder of wheels"
BUSY = "The engine is being worked on; wait, or cancel that first"


class SD_OT_set_up_engine(bpy.types.Operator):
    bl_description = ("Confirm the folder and set up the engine in it. Blender stays free; what was broken off goes on "
                      "where it stopped")

    bl_idname = "sd.set_up_engine"
    bl_label = "Stable Diffusion: Set Up the Engine"

    @classmethod
    def poll(cls, context):
        shown = context.window_manager.sd_setup
        return first_refusal(cls, (not shown.running, BUSY), (not shown.obstacle, shown.obstacle),
                             (runtime.policy.state.network or shown.wheels, FORBIDDEN),
                             (bpy.app.online_access or shown.wheels, OFFLINE))

    def execute(self, _context):
        shown = installation_view.state()
        return begin(self, lambda: self._confirm_and_begin(shown))

    @staticmethod
    def _confirm_and_begin(shown) -> None:
        installation_view.confirm_base()
        installation.install_engine(shown.accelerator, wheels=bpy.path.abspath(shown.wheels))


class SD_OT_repair_engine(bpy.types.Operator):
    bl_description = ("Set the engine up again, for the accelerator that is chosen. The one that is there stays in use "
                      "until the new one is ready")

    bl_idname = "sd.repair_engine"
    bl_label = "Stable Diffusion: Repair the Engine"

    @classmethod
    def poll(cls, context):
        return SD_OT_set_up_engine.poll.__func__(cls, context)

    def execute(self, _context):
        shown = installation_view.state()
        return begin(
            self,
            lambda: installation.install_engine(shown.accelerator, wheels=bpy.path.abspath(shown.wheels), repair=True))


class SD_OT_remove_engine(bpy.types.Operator):
    """Delete the engine's environment, and what cancelled set-ups have left. Models and pictures stay"""

    bl_idname = "sd.remove_engine"
    bl_label = "Stable Diffusion: Remove the Engine"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (not context.window_manager.sd_setup.running, BUSY))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context):
        return begin(self, installation.remove_engine)


class SD_OT_cancel_setup(bpy.types.Operator):
    """Stop what is being done. What was downloaded is kept, and the next set-up goes on from there"""

    bl_idname = "sd.cancel_setup"
    bl_label = "Stable Diffusion: Cancel the Engine's Set-Up"

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.window_manager.sd_setup.running, "Nothing is going on"))

    def execute(self, _context):
        for running in installation.installations():
            running.cancel()
        tick.soon()
        return {"FINISHED"}


def begin(operator: bpy.types.Operator, call: Callable[[], object]) -> set[str]:
    """Run `call`. An SDError is reported and shown in the panel, and changes nothing."""
    shown = installation_view.state()
    shown.error = shown.hint = shown.text = ""
    try:
        call()
    except SDError as error:
        shown.error, shown.hint = error.message, error.hint
        if not operator.options.is_invoke:  # otherwise the panel shows it beside the button
            operator.report({"ERROR"}, translated(str(error)))
        return {"CANCELLED"}
    tick.soon()
    return {"FINISHED"}


CLASSES = (SD_OT_set_up_engine, SD_OT_repair_engine, SD_OT_remove_engine, SD_OT_cancel_setup)
