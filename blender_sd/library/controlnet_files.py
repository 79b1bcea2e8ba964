"""Recognise ControlNets in one file, as in ComfyUI's and A1111's folders, by the names and shapes in the header.

    ldm            Zhang et al. 2023: `control_model.input_hint_block.0.weight` …, also without the prefix
    diffusers      `controlnet_cond_embedding.conv_in.weight` …; of transformers `controlnet_blocks.0.weight`
    control-LoRA   Stability's, with the marker `lora_controlnet`: the model's own encoder and low-rank changes of it
    union          one net for several kinds of picture: xinsir's for SDXL, InstantX's and Shakker's for Flux.1,
                   Alibaba's for Z-Image
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.families import ControlNet, controlnet_of

LORA_MARK = "lora_controlnet"
PREFIX = "control_model."
_HINTS = ("input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight")
# Of transformers, by a name that only one class has.
_TRANSFORMERS = (("ZImageControlNetModel", "control_all_x_embedder."), ("QwenImageControlNetModel",
                                                                        "transformer_blocks.0.img_mod."),
                 ("SD3ControlNetModel", "pos_embed_input."), ("FluxControlNetModel", "controlnet_x_embedder."),
                 ("SanaControlNetModel", "input_block."))


def controlnet_in(header: Mapping[str, Any]) -> ControlNet | None:
    """The ControlNet in the file with this `header`; None where there is none that can be used."""
    names = {name.removeprefix(PREFIX): entry for name, entry in header.items()}
    if any(name.startswith("double_blocks.") for name in names):
        return None  # XLabs' for Flux.1, with a transformer of their own
    if any(hint in names for hint in _HINTS):
        return _of_unet(names)
    if not any(name.startswith(("controlnet_blocks.", "control_layers.", "control_noise_refiner.")) for name in names):
        return None
    cls = next((cls for cls, mark in _TRANSFORMERS if any(name.startswith(mark) for name in names)), "")
    modes = {"num_mode": 1} if "controlnet_mode_embedder.weight" in names else {}
    return controlnet_of({"_class_name": cls, **modes}) if cls else None


def _of_unet(names: Mapping[str, Any]) -> ControlNet | None:
    if "task_embedding" in names:
        return controlnet_of({
            "_class_name": "ControlNetUnionModel", "num_control_type": _shape(names["task_embedding"])[0]})
    wide = "add_embedding.linear_1.weight" in names or "label_emb.0.0.weight" in names
    width = next((shape[1] for name, entry in names.items()
                  if name.endswith(("attn2.to_k.weight", "attn2.to_k.down")) and len(shape := _shape(entry)) == 2), 0)
    return controlnet_of({"_class_name": "ControlNetModel", "cross_attention_dim": 2048 if wide else width})


def _shape(entry: Mapping[str, Any]) -> list[int]:
    shape = entry.get("shape")
    return shape if isinstance(shape, list) and shape and all(type(side) is int for side in shape) else [0]
