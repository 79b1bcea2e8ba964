"""Use Blender's own presets for the panel Settings.

They are in presets/blender_sd in Blender's folder for the user's scripts. As all presets they are Python files that
Blender runs itself; it reports an error in a preset, which affects nothing else.
"""
from __future__ import annotations

import os

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

from ..core.declarations import used_by
from ..core.settings import PRESET

_SUBDIR = "blender_sd"
_SAVED = (*(item.prop for item in used_by(PRESET)), "random_seed")


class SD_PT_setting_presets(PresetPanel, bpy.types.Panel):
    """Presets of the panel Settings."""

    bl_idname = "SD_PT_setting_presets"
    bl_label = "Settings Presets"
    preset_subdir = _SUBDIR
    preset_operator = "script.execute_preset"
    preset_add_operator = "sd.setting_preset_add"


class SD_OT_setting_preset_add(AddPresetBase, bpy.types.Operator):
    """Keep model, size, sampling, number of images and tiling as a preset, or remove the chosen one"""

    bl_idname = "sd.setting_preset_add"
    bl_label = "Add Settings Preset"
    bl_options = {"REGISTER", "INTERNAL"}
    preset_menu = "SD_PT_setting_presets"
    preset_subdir = _SUBDIR
    preset_defines = ["settings = bpy.context.scene.sd"]
    preset_values = [f"settings.{name}" for name in _SAVED]


def make_folder() -> None:
    """Make the folder for presets, because Blender's list complains about a missing path."""
    bpy.utils.user_resource("SCRIPTS", path=os.path.join("presets", _SUBDIR), create=True)


CLASSES = (SD_PT_setting_presets, SD_OT_setting_preset_add)
