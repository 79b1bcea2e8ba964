"""Help when something goes wrong: copy a bug report, open the log."""
from __future__ import annotations

import bpy
from bpy.props import BoolProperty

from ...calls import bug_report
from ..layout import wrapped


class SD_OT_copy_report(bpy.types.Operator):
    """Copy versions, settings, the last jobs and errors to the clipboard, for a bug report"""

    bl_idname = "sd.copy_report"
    bl_label = "Stable Diffusion: Copy Report"

    prompts: BoolProperty(name="Include Prompts", default=False, options={"SKIP_SAVE"}, description=(
        "Put the prompts of this session's jobs into the report. Without, they are struck out of errors too"))

    def invoke(self, context, _event):
        return context.window_manager.invoke_props_dialog(self, width=360)

    def draw(self, context):
        wrapped(self.layout, context, "Versions, device, settings, the last jobs and errors. Your home folder and "
                                      "access tokens are left out. Look at the text before you send it.",
                                      "INFO")
        self.layout.prop(self, "prompts")

    def execute(self, context):
        context.window_manager.clipboard = bug_report.problem_report(self.prompts)
        self.report({"INFO"}, "The report is on the clipboard")
        return {"FINISHED"}


class SD_OT_open_log(bpy.types.Operator):
    bl_description = ("Show what the add-on, the engine, downloads and set-ups have written in this run of Blender, in "
                      "a text editor of the system")

    bl_idname = "sd.open_log"
    bl_label = "Stable Diffusion: Open the Log"

    def execute(self, _context):
        path = bug_report.log_file()
        if path is None:
            self.report({"ERROR"}, "There is no log yet: nothing has happened that is worth a line")
            return {"CANCELLED"}
        return bpy.ops.wm.path_open(filepath=str(path))


CLASSES = (SD_OT_copy_report, SD_OT_open_log)
