"""Start and stop the engine, refresh its models and open its folder."""
from __future__ import annotations

import bpy

from ...calls import engine_control, models
from ...core.errors import SDError
from .. import properties, state, tick
from . import loras
from .start import first_refusal, refuse


class SD_OT_start_engine(bpy.types.Operator):
    """Start the engine in the background, so that the first picture need not wait for it"""

    bl_idname = "sd.start_engine"
    bl_label = "Stable Diffusion: Start Engine"

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls,
                             (engine_control.engine_status()[0] in ("off", "failed"), "The engine is running already"))

    def execute(self, _context):
        state.clear_error()
        engine_control.start_engine()
        tick.soon()
        return {"FINISHED"}


class SD_OT_refresh_models(bpy.types.Operator):
    """Look for models and LoRAs in the model folders again"""

    bl_idname = "sd.refresh_models"
    bl_label = "Stable Diffusion: Refresh Models"

    def execute(self, _context):
        models.refresh_models()
        properties.refresh_model_items()
        loras.refresh()
        tick.soon()
        return {"FINISHED"}


class SD_OT_open_output(bpy.types.Operator):
    """Open the folder of finished pictures in the system's file browser"""

    bl_idname = "sd.open_output"
    bl_label = "Stable Diffusion: Open Output Folder"

    def execute(self, _context):
        try:
            folder = engine_control.output_folder()
        except SDError as error:
            return refuse(self, error)
        return bpy.ops.wm.path_open(filepath=str(folder))


CLASSES = (SD_OT_start_engine, SD_OT_refresh_models, SD_OT_open_output)
