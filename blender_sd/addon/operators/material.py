"""Make materials with all their maps: from the prompt, or from an image; change their relief; export their maps."""
from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ... import scene
from ...calls import material_maps
from ...core.errors import SDError
from ...core.map_presets import PRESETS
from ...core.tasks import MAKE_SEAMLESS, TEXT_TO_IMAGE
from .. import map_exporting
from ..translations.words import translated
from .generate import TYPE_PROMPT, can_generate
from .start import Prompted, can_do, can_find, first_refusal, start, tell

_RELIEFS = (("normal", "Normal Map", "Light alone shows the relief; what glTF and games take"),
            ("bump", "Bump", "Light alone shows the relief, worked out from the height in metres"),
            ("displacement", "Displacement", "The surface itself moves by the height in metres; it needs many faces"))
_PRESETS = [(name, preset.label, preset.tip) for name, preset in PRESETS.items()]


def _wearer(context: bpy.types.Context) -> bpy.types.Object | None:
    """Return the object that gets the material: the active mesh, where it is selected."""
    return context.object if scene.is_mesh_selected(context) else None


def map_keywords(settings: bpy.types.PropertyGroup) -> dict[str, Any]:
    """Return the keywords of the API's call that say how maps are made, as set in the panel."""
    return {"map_source": settings.map_source, "map_bits": settings.map_bits, "metres": settings.map_metres}


class SD_OT_material(bpy.types.Operator):
    bl_description = ("Paint what the prompt says and make a material of it, with base color, normal, height, "
                      "roughness, metallic and occlusion. It goes onto the selected mesh; without one, it stays in the "
                      "file")

    bl_idname = "sd.material"
    bl_label = "Stable Diffusion: Material from Prompt"
    bl_options = {"REGISTER"}

    relief: EnumProperty(name="Relief", description="How the height is shown", items=_RELIEFS)

    @classmethod
    def poll(cls, context):
        settings = context.scene.sd
        return can_generate(cls, context) and first_refusal(
            cls, (settings.words() or settings.style, TYPE_PROMPT)) and can_find(
            cls, lambda context: scene.freeze_slot(_wearer(context)), context)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            keywords = {**settings.keywords(TEXT_TO_IMAGE), "count": 1, "axes": []}
            if keywords["tiling"] == "none":
                keywords["tiling"] = "xy"
            return material_maps.material(
                settings.words(), seed=seed, size=(settings.width, settings.height), obj=_wearer(context),
                controls=settings.control_inputs(), relief=self.relief, **map_keywords(settings), **keywords)

        return start(self, context, submit)


class SD_OT_pbr_maps(Prompted, bpy.types.Operator):
    bl_description = ("Make a material of the active slot's image, with base color, normal, height, roughness, "
                      "metallic and occlusion. It goes onto the selected mesh; without one, it stays in the file")

    bl_idname = "sd.pbr_maps"
    bl_label = "Stable Diffusion: Maps from Image"
    bl_options = {"REGISTER"}
    sd_task = MAKE_SEAMLESS

    relief: EnumProperty(name="Relief", description="How the height is shown", items=_RELIEFS)
    seamless: BoolProperty(name="Make Seamless First", description="Repaint a band across the image's border first, so "
                                                                   "that the material repeats without a seam")

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot_image, context) and can_find(
            cls, lambda context: scene.freeze_slot(_wearer(context)), context)

    def execute(self, context):
        settings = context.scene.sd

        def submit(seed):
            image, _ = scene.active_slot_image(context)
            how = {"obj": _wearer(context), "relief": self.relief, "label": image.name, **map_keywords(settings)}
            if not self.seamless:
                return material_maps.pbr_maps(image, **how)
            words = self.words(context, image)
            keywords = {**settings.keywords(MAKE_SEAMLESS, words), "count": 1, "axes": []}
            return material_maps.pbr_maps(image, words.prompt, seamless=True, seed=seed, **how, **keywords)

        if self.seamless and not can_do(type(self), context, MAKE_SEAMLESS):
            self.report({"ERROR"}, "This model cannot make a texture seamless. Choose another model.")
            return {"CANCELLED"}
        return start(self, context, submit)


class SD_OT_relief(bpy.types.Operator):
    """Change how the active material of maps shows its height. No picture is made again"""

    bl_idname = "sd.relief"
    bl_label = "Stable Diffusion: Relief"
    bl_options = {"REGISTER", "UNDO"}

    relief: EnumProperty(name="Relief", description="How the height is shown", items=_RELIEFS)

    @classmethod
    def poll(cls, context):
        material = context.object.active_material if context.object is not None else None
        return first_refusal(cls, (scene.relief_of(material), "Choose an object with a material of maps"))

    def execute(self, context):
        try:
            material_maps.set_relief(context.object.active_material, self.relief)
        except SDError as error:
            tell(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


class SD_OT_export_maps(bpy.types.Operator):
    """Write the maps of the active material as files, named and packed as another program wants them"""

    bl_idname = "sd.export_maps"
    bl_label = "Stable Diffusion: Export Maps"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", description="Where the files go", subtype="DIR_PATH")
    preset: EnumProperty(name="Preset", description="Whose names, normals and packing", items=_PRESETS)
    filter_folder: BoolProperty(default=True, options={"HIDDEN"}, description="Show folders in the file browser")

    @classmethod
    def poll(cls, context):
        material = context.object.active_material if context.object is not None else None
        return first_refusal(cls, (scene.relief_of(material), "Choose an object with a material of maps"),
                             (not map_exporting.running(), "The maps are being written"))

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        material = context.object.active_material
        try:
            if bpy.app.background:  # no timer runs there, and scripts expect the files
                number = len(material_maps.export_maps(material, self.directory, preset=self.preset))
                self.report({"INFO"}, translated(f"{number} maps written"))
            else:
                map_exporting.start(material_maps.begin_export(material, self.directory, self.preset))
        except SDError as error:
            tell(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (SD_OT_material, SD_OT_pbr_maps, SD_OT_relief, SD_OT_export_maps)
