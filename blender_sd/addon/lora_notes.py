"""Remember what the last jobs had to say about LoRAs, and draw it beside those that a prompt names.

It counts for the model that it was learnt with, until a job puts the LoRA on again.
"""
from __future__ import annotations

import os

import bpy

from ..core.names import name_key
from ..core.prompt_choices import lora_names
from ..session.job import Job
from .layout import wrapped

_MOST = 16  # LoRAs of a prompt that are looked at
_notes: dict[tuple[str, str], list[tuple[str, str]]] = {}  # (model, LoRA) -> each text, with its icon


def learn(job: Job) -> None:
    """Remember what a job that has ended says about its LoRAs."""
    model = job.request.model
    about = {name_key(name): [(text, "INFO") for text in texts] for name, texts in job.lora_notes.items()}
    if job.error is not None and job.error.about:
        about.setdefault(name_key(job.error.about), []).append((str(job.error), "ERROR"))
    elif job.state == "finished":
        for lora in job.request.loras:
            _notes.pop((model, _key(lora.file)), None)
    _notes.update({(model, name): texts for name, texts in about.items()})


def of(model: str, prompt: str) -> list[tuple[str, str, str]]:
    """Return (name, text, icon) of each note about a LoRA that `prompt` names. Reads nothing, so it suits drawing."""
    if "<" not in prompt or not _notes:
        return []
    names = dict.fromkeys(lora_names(prompt, _MOST)[0][:_MOST])
    return [(name, text, icon) for name in names for text, icon in _notes.get((model, _key(name)), ())]


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, prompt: str) -> None:
    """Draw the notes about the LoRAs that `prompt` names."""
    for _, text, icon in of(context.scene.sd.model, prompt):
        wrapped(layout, context, text, icon)


def _key(file: str) -> str:
    name = os.path.basename(file.replace("\\", "/"))
    return name_key(name.removesuffix(".safetensors"))


def register() -> None:
    """Nothing is registered; notes are kept until Blender ends."""


def unregister() -> None:
    _notes.clear()
