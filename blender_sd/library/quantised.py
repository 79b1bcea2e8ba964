"""How the weights in a file are packed, as far as names, types and shapes in its header tell.

    scaled fp8     each matrix in 8 bits beside the number(s) that it is multiplied by: ComfyUI's `.scale_weight` with
    the marker
                   `scaled_fp8`, its newer `.weight_scale` with `.comfy_quant`, and `.weight_scale_inv` in blocks
                   (DeepSeek, Qwen)
    int8           the same with whole numbers
    all others     4 bits in blocks (nvfp4, mxfp4, bitsandbytes, GPTQ, AWQ, SVDQuant), 8 bits in blocks of 32 (mxfp8):
    not read here
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# what a matrix is multiplied by, in place of ".weight"
SCALES = (".scale_weight", ".weight_scale", ".weight_scale_inv")
# of use to programs that calculate in 8 bits
BESIDE = (".scale_input", ".input_scale", ".comfy_quant", ".scale_output", "scaled_fp8")
_PACKED = (  # what only one way of packing calls its tensors
    ("bitsandbytes", (".absmax", ".quant_map", ".bitsandbytes__nf4", ".bitsandbytes__fp4", ".SCB")),
    ("GPTQ or AWQ", (".qzeros", ".g_idx")), ("SVDQuant", (".wscales", ".smooth_factor", ".smooth", ".wzeros")),
    ("nvfp4", (".weight_scale_2",)),
    ("AWQ or SVDQuant", (".qweight",)),
)
_TYPES = {"F8_E8M0": "mxfp8 or mxfp4", "F4": "4-bit floats", "F6_E2M3": "6-bit floats", "F6_E3M2": "6-bit floats"}
_WHOLE = ("I8", "U8")


def refusal(header: Mapping[str, Any]) -> str:
    """The way in which the weights of the file with this `header` are packed, where it cannot be read; "" where it
    can."""
    for name, marks in _PACKED:
        if any(tensor.endswith(marks) for tensor in header):
            return name
    for tensor, entry in header.items():
        if (kind := entry.get("dtype")) in _TYPES:
            return _TYPES[kind]
        if kind in _WHOLE and tensor.endswith(".weight") and len(entry.get("shape",
                                                                           ())) >= 2 and not _scale(header, tensor):
            return "whole numbers without their scales"
    return ""


def _scale(header: Mapping[str, Any], tensor: str) -> str:
    stem = tensor.removesuffix(".weight")
    return next((stem + end for end in SCALES if stem + end in header), "")
