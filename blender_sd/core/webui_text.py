"""Write the settings of a picture as the text that A1111's web UI made common: `parameters` in a PNG file.

It is the prompt, the negative prompt, then "Steps: …, Sampler: …, …". Many programs read it.
"""
from __future__ import annotations

import os
from typing import Any

from .declarations import SETTINGS, Declared, settings_of
from .prompt_choices import lora_tag
from .request import Request
from .samplers import SAMPLERS

NAMES = {declared.setting.a1111: declared.name for declared in SETTINGS if declared.setting.a1111}
_ORDER = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model")  # what other programs expect first


def parameters_text(request: Request, model_name: str) -> str:
    """Return the text for one picture."""
    pairs = {declared.setting.a1111: _value(declared, declared.of(request)) for declared in settings_of(request)
             if declared.setting.a1111 and not (declared.setting.neutral and declared.is_default(request))}
    pairs |= {"Size": f"{request.width}x{request.height}", "Model": model_name.replace(",", " ")}
    first = {key: pairs.pop(key) for key in _ORDER}
    tags = (lora_tag(os.path.splitext(os.path.basename(lora.file))[0], lora.weight, lora.text_weight)
            for lora in request.loras if not lora.tag)
    lines = [" ".join([request.prompt, *tags])]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    lines.append(", ".join(f"{key}: {value}" for key, value in {**first, **pairs}.items()))
    return "\n".join(lines)


def _value(declared: Declared, value: Any) -> str:
    if declared.name == "sampler":
        return SAMPLERS[value].a1111
    if declared.name == "tiling":
        return "True"
    return f"{value:.7g}" if declared.kind == "float" else str(value)  # what a 32-bit number of the panel means
