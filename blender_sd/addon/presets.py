"""Blender's own presets for the panel Settings. They lie in Blender's folder for the person's scripts, in presets/blender_sd, and are
Python files that Blender runs itself, as all its presets; an error in one is reported by Blender and harms nothing else."""
from __future__ import annotations

import os

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

_SUBDIR = "blender_sd"
_SAVED = ("model", "width", "height", "sampler", "steps", "guidance", "count", "tiling", "random_seed")


class SD_PT_setting_presets(PresetPanel, bpy.types.Panel):
    """Presets of the panel Settings."""

    bl_idname = "SD_PT_setting_presets"
    bl_label = "Settings Presets"
    preset_subdir = _SUBDIR
    preset_operator = "script.execute_preset"
    preset_add_operator = "sd.setting_preset_add"


class SD_OT_setting_preset_add(AddPresetBase, bpy.types.Operator):
    """Keep model, size, sampler, steps, guidance, number of images and tiling as a preset, or remove the chosen one"""

    bl_idname = "sd.setting_preset_add"
    bl_label = "Add Settings Preset"
    bl_options = {"REGISTER", "INTERNAL"}
    preset_menu = "SD_PT_setting_presets"
    preset_subdir = _SUBDIR
    preset_defines = ["settings = bpy.context.scene.sd"]
    preset_values = [f"settings.{name}" for name in _SAVED]


def make_folder() -> None:
    """Without a folder for presets Blender's list says that a path is missing, which is no news for anybody who has none yet."""
    bpy.utils.user_resource("SCRIPTS", path=os.path.join("presets", _SUBDIR), create=True)


CLASSES = (SD_PT_setting_presets, SD_OT_setting_preset_add)
