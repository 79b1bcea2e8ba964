"""Add LoRAs to the prompt."""
from __future__ import annotations

import bpy
from bpy.props import EnumProperty, FloatProperty

from ... import scene
from ...calls import models
from ...core.errors import ModelNotFound
from ...core.parts import Lora
from ...core.prompt_choices import lora_tag
from ...core.samplers import SAMPLERS
from ..translations.words import translated
from .start import refuse

_items: list[tuple[str, str, str]] = []  # kept, because Blender does not hold the strings of a dynamic enum
_WEIGHT = Lora.__dataclass_fields__["weight"].metadata["setting"]


def _offered(_self=None, _context=None) -> list[tuple[str, str, str]]:
    return _items or refresh()


def refresh() -> list[tuple[str, str, str]]:
    """Read the list of LoRAs again. Never call this while drawing: it reads folders."""
    _items[:] = [(lora.name, lora.name, lora.file) for lora in models.loras()]
    return _items


class SD_OT_add_lora(bpy.types.Operator):
    bl_description = ("Choose a LoRA; its tag <lora:name:1> is added to the prompt. Few-step LoRAs (LCM, Lightning …) "
                      "set steps, guidance and sampler")

    bl_idname = "sd.add_lora"
    bl_label = "Stable Diffusion: Add LoRA to Prompt"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "lora"

    lora: EnumProperty(name="LoRA", description="The LoRA to put on", items=_offered)
    weight: FloatProperty(name=_WEIGHT.label, description=_WEIGHT.tip, default=1.0, min=_WEIGHT.low, max=_WEIGHT.high,
                          soft_max=_WEIGHT.soft_high)

    def invoke(self, context, _event):
        if not refresh():
            return refuse(
                self,
                ModelNotFound("There is no LoRA in the model folders.",
                              "Put .safetensors files of LoRAs into a folder that the add-on's preferences name."))
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        settings = context.scene.sd
        few = next((lora.few_steps for lora in models.loras() if lora.name == self.lora), None)
        weight = few.weight if few is not None and not self.properties.is_property_set("weight") else self.weight
        if settings.prompt_text is not None:
            scene.append_line(settings.prompt_text, lora_tag(self.lora, weight))
        else:
            settings.prompt = f"{settings.prompt} {lora_tag(self.lora, weight)}".strip()
        if few is not None:
            settings.steps, settings.guidance, settings.sampler = few.steps, few.guidance, few.sampler
            self.report({"INFO"}, translated(f"'{self.lora}' is a few-step LoRA ({few.name}): steps were set to "
                                             f"{few.steps}, guidance to {few.guidance:g}, the sampler to "
                                             f"{SAMPLERS[few.sampler].label}."))
        return {"FINISHED"}


CLASSES = (SD_OT_add_lora,)
