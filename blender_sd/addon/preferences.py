"""Define the add-on's preferences: interpreter, device and folders. Each change goes to `configure` at once.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import dataclasses
import logging
import sys

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, StringProperty

from ..calls import engine_control, styles as styles_calls
from ..calls.config import Config
from ..core.errors import SDError
from ..core.memory_modes import ON_APPLE
from ..core.settings import FILE, FOLDER
from ..protocol.engine_config import MEMORY_USES
from .declared import declared_field
from . import downloads, installation, policy, preference_access, preference_sections, properties, remembered

log = logging.getLogger("blender_sd")

_DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")


_DECLARED = {spec.name: spec.metadata["setting"] for spec in dataclasses.fields(Config) if "setting" in spec.metadata}
_PATHS = tuple(name for name, rule in _DECLARED.items() if rule.unit in (FILE, FOLDER))


def _changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    _settle(self)
    if preference_access.get() is not None:
        remembered.keep(preference_access.get())
    apply()
    downloads.refresh()
    installation.refresh()
    styles_calls.styles()
    policy.refresh()


def _absolute(path: str) -> str:
    """Return `path`, or "" if it is relative to the open file: someone else's file could bring its own engine."""
    return "" if path.startswith("//") else path


def _settle(owner: bpy.types.bpy_struct) -> None:
    """Make paths absolute when they are chosen: Blender's file browser offers them relative to the open file."""
    for name in (*_PATHS, "path"):
        path = getattr(owner, name, "")
        if path.startswith("//") and getattr(bpy.data, "filepath", ""):
            setattr(owner, name, bpy.path.abspath(path))


def restore() -> None:
    """Fill in the folders that were chosen before the add-on was last disabled."""
    if preference_access.get() is not None:
        remembered.restore(preference_access.get())


def apply() -> None:
    """Pass the preferences to the API. Do nothing in a plain module: scripts call `configure` themselves."""
    prefs = preference_access.get()
    if prefs is None:
        return
    try:
        engine_control.configure(
            model_folders=[path for folder in prefs.model_folders if (path := _absolute(folder.path))],
            **{name: _value(prefs, name) for name in _DECLARED})
    except SDError as error:
        log.warning("%s", error)


def _value(prefs: bpy.types.AddonPreferences, name: str) -> object:
    """Return a preference as `configure` takes it."""
    value = getattr(prefs, name)
    if name in _PATHS:
        return _absolute(value)
    if isinstance(value, float):
        return round(value, 4)  # without the digits that Blender's 32-bit floats add
    return value.strip() or getattr(Config, name) if isinstance(value, str) else value


class SD_PG_folder(bpy.types.PropertyGroup):
    """One folder that holds models."""

    path: StringProperty(name="Model Folder", subtype="DIR_PATH", update=_changed, description=(
        "A model in diffusers format, or a folder that holds several"))


class SD_UL_folders(bpy.types.UIList):
    """The model folders, each with its path to edit."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        layout.prop(item, "path", text="", emboss=False, icon="FILE_FOLDER", placeholder="Choose a folder")


class SD_OT_folder_add(bpy.types.Operator):
    """Add a folder in which to look for models"""

    bl_idname = "sd.folder_add"
    bl_label = "Add Model Folder"
    bl_options = {"INTERNAL"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="A folder with models in diffusers format")

    def invoke(self, context, _event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context):
        prefs = preference_access.get()
        if prefs is None:
            self.report(
                {"ERROR"},
                "The preferences are there once the add-on is enabled. Use configure(model_folders=…) in scripts")
            return {"CANCELLED"}
        prefs.model_folders.add().path = self.directory
        prefs.folder_index = len(prefs.model_folders) - 1
        properties.refresh_model_items()
        return {"FINISHED"}


class SD_OT_folder_remove(bpy.types.Operator):
    """Stop looking for models in the selected folder; its files stay"""

    bl_idname = "sd.folder_remove"
    bl_label = "Remove Model Folder"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        prefs = preference_access.get()
        return prefs is not None and len(prefs.model_folders) > 0

    def execute(self, _context):
        prefs = preference_access.get()
        prefs.model_folders.remove(prefs.folder_index)
        prefs.folder_index = max(0, min(prefs.folder_index, len(prefs.model_folders) - 1))
        remembered.keep(prefs)
        apply()
        properties.refresh_model_items()
        return {"FINISHED"}


class SD_AP_preferences(bpy.types.AddonPreferences):
    """How the add-on runs on this machine: the settings that `Config` declares, and some of the panel."""

    bl_idname = preference_access.PACKAGE

    mesh_preview: BoolProperty(name="Previews on the Mesh", default=True, description=(
        "While a picture for a material is painted, show its preview on the faces that it is for. It is drawn over "
        "them: the material is not touched"))
    result_shading: EnumProperty(name="Hidden Results", description=(
        "What to do when a result is on the model and the shading of the 3D View does not show it"), items=(
        ("ASK", "Offer a Button", "The panel says so and offers to change the shading"),
        ("MATERIAL", "Material Preview", "Change the shading to Material Preview"),
        ("TEXTURE", "Solid with Texture Color", "Change the shading to Solid, colored by textures")))
    model_folders: CollectionProperty(type=SD_PG_folder, name="Model Folders", description=(
        "Where models, LoRAs and ControlNets are looked for, and in the folders in them: folders in diffusers format, "
        "the Hugging Face cache, and the models folders of ComfyUI and A1111"))
    folder_index: IntProperty(name="Selected Folder", description="The folder that Remove removes")

    section: EnumProperty(name="Section", items=preference_sections.SECTIONS,
                          description="Which of the preferences are shown")

    def draw(self, context) -> None:
        preference_sections.draw(self, context)


_MORE = {  # what properties have beyond the declared
    "device": {"search": lambda _self, _context, _text: _DEVICES, "search_options": {"SUGGESTION"}},
    "safety_threshold": {"min": 0.01},
    "memory_use": {"items": [(key, *words) for key, words in MEMORY_USES.items()
                             if sys.platform != "darwin" or key in ("auto", *ON_APPLE)]}}
for _name in _DECLARED:
    SD_AP_preferences.__annotations__[_name] = declared_field(Config, _name, update=_changed, **_MORE.get(_name, {}))

CLASSES = (SD_PG_folder, SD_UL_folders, SD_OT_folder_add, SD_OT_folder_remove, SD_AP_preferences)
