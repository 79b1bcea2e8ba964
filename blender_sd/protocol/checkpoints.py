"""What a safetensors or GGUF file holds, told from the names and shapes in its header; no weights are read.

A file begins with the length of its header (8 bytes, little-endian), then the header as JSON: https://huggingface.co/docs/safetensors
"""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import gguf

SUFFIX, GGUF = ".safetensors", ".gguf"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_MODELS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "models")
CONFIGS = os.path.join(_MODELS, "configs")
STARTER = "starter"  # what requests call the built-in model, and the built-in ControlNet
STARTER_FOLDER, STARTER_CONTROL_FOLDER = os.path.join(_MODELS, "starter"), os.path.join(_MODELS, "starter_control")
LORA, IP_ADAPTER, EMBEDDING, UPSCALER, SD15, SDXL = "lora", "ip-adapter", "textual inversion", "upscaler", "sd15", "sdxl"
# Pipelines of diffusers' folders that only enlarge pictures.
UPSCALER_PIPELINES = ("StableDiffusionUpscalePipeline", "StableDiffusionLatentUpscalePipeline")
# What the names of the first matrix of a LoRA's layers have in them: peft's and diffusers', A1111's and Kohya's, old diffusers'.
LORA_DOWN = (".lora_A.", ".lora_down.", "lora.down.", "lora_linear_layer.down.")
# What a name has in it that only upscalers have: ESRGAN (two spellings), SwinIR, Swin2SR, HAT, ATD, then DAT, RGT, DRCT, Compact,
# SPAN, PLKSR, MoSR, OmniSR, RCAN, RealCUGAN. spandrel knows more; they can be named by their file.
_UPSCALERS = (".RDB1.", ".rdb1.", "layers.0.residual_group.", "layers.0.blocks.0.attn.attns.", "layers.0.swin1.", "body.1.weight",
              "block_1.c1_r.", "feats.1.lk.", "gblocks.1.", "residual_layer.0.residual_layer.", "body.0.body.0.body.", "unet1.conv_bottom.")
_MAX_HEADER = 32 << 20  # bytes; those of the largest models have a few million
_MAX_TENSORS = 1 << 17  # the largest models, in many parts each, have some ten thousand
_MAX_TITLE = 300  # characters
_METADATA = "__metadata__"
# What names in IP-Adapters begin with: those of UNets and of SD 3.5 (h94's, InstantX's), and XLabs' of Flux.1, whose other
# names are a Flux transformer's.
_IP_ADAPTERS = ("ip_adapter.", "ip_adapter_proj_model.")
_TITLES = ("modelspec.title", "ss_output_name")
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_FIRST = _UNET + "input_blocks.0.0.weight"
# What else there is, by a name that only it has; in the order in which they are tried.
_OTHERS = {
    "conditioner.embedders.0.model.": "the SDXL refiner", "cond_stage_model.model.": "SD 2", "double_blocks.": "Flux",
    "joint_blocks.": "SD 3", "input_hint_block.": "a ControlNet", "controlnet_cond_embedding.": "a ControlNet",
    "first_stage_model.": "a VAE",
    "decoder.conv_in.weight": "a VAE", _UNET: "a denoiser alone",
}
# Of files that hold a transformer alone: names that only one family's have, in the original layout or in diffusers', and the
# first layer, which tells how many channels it sees.
_TRANSFORMERS = (
    ("Flux.2", ("double_stream_modulation_img.",), ("img_in.weight", "x_embedder.weight")),
    ("Flux.1", ("single_blocks.0.modulation.lin.", "single_transformer_blocks.0.proj_mlp."), ("img_in.weight", "x_embedder.weight")),
    ("SD 3.5", ("joint_blocks.0.",), ("x_embedder.proj.weight",)),
    ("Z-Image", ("cap_pad_token",), ()),
    ("Qwen-Image", ("transformer_blocks.0.img_mod.1.",), ("img_in.weight",)),
    ("SANA", ("y_embedder.y_proj.fc1.", "caption_norm.weight"), ()),
)
_MORE = (_VAE, "vae.", "text_encoders.", "cond_stage_model.", "conditioner.", "controlnet")  # what those hold that are not one alone


@dataclass(frozen=True)
class Kind:
    """What a file is: `name` is one of the names above for what can be used, else words that say what it is ("" unknown).
    `channels`: what a checkpoint's denoiser takes in, 9 for inpainting. `velocity`: whether it says that it predicts velocity.
    `alone`: it is the transformer of the family `name` (`protocol.families`) and nothing else, with `channels` going into its
    first layer (0 where that tells nothing), `guided` by a layer of its own."""

    name: str
    channels: int = 4
    velocity: bool = False
    alone: bool = False
    guided: bool = False

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a whole model of a family that can be read from one file."""
        return self.name in (SD15, SDXL)


def read_header(file: str) -> dict[str, Any]:
    """The header of the safetensors or GGUF file `file`: names to {"shape", …}. Raises OSError, and ValueError where it is none."""
    if file.lower().endswith(GGUF):
        return gguf.read_header(file)
    return {name: entry for name, entry in _read(file).items() if name != _METADATA}


def read_title(file: str) -> str:
    """What its maker calls the model in `file`, by the metadata that ModelSpec (https://github.com/Stability-AI/ModelSpec) and
    Kohya's trainers write; "" where there is none. Raises as `read_header` does."""
    if file.lower().endswith(GGUF):
        return ""
    metadata = read_metadata(file)
    return " ".join(title[:_MAX_TITLE] for key in _TITLES if isinstance(title := metadata.get(key), str))


def read_metadata(file: str) -> dict[str, Any]:
    """What a safetensors file says of itself besides its tensors; its maker's words. Raises as `read_header` does."""
    return _read(file).get(_METADATA, {})


def _read(file: str) -> dict[str, Any]:
    with open(file, "rb") as data:
        length = int.from_bytes(data.read(8), "little")
        if not 2 <= length <= _MAX_HEADER:
            raise ValueError("no safetensors header")
        raw = data.read(length)
    try:
        header = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ValueError("no safetensors header")
    if len(header) > _MAX_TENSORS:
        raise ValueError(f"{len(header)} tensors")
    return header


def kind_of(header: Mapping[str, Any]) -> Kind:
    """What the file with this header holds."""
    names = list(header)
    if any(mark in name for name in names for mark in LORA_DOWN):
        return Kind(LORA)
    if any(name.startswith(_IP_ADAPTERS) for name in names):
        return Kind(IP_ADAPTER)
    if names and (set(names) <= {"clip_l", "clip_g"} or names == ["emb_params"] or len(names) == 1 and _is_words(header[names[0]])):
        return Kind(EMBEDDING)
    if _FIRST in header and any(name.startswith(_VAE) for name in names):
        shape = _shape(header[_FIRST])
        channels = shape[1] if len(shape) == 4 else 4
        for start, family in (("conditioner.embedders.1.", SDXL), ("cond_stage_model.transformer.", SD15)):
            if any(name.startswith(start) for name in names):
                return Kind(family, channels, "v_pred" in header)
    if any(mark in name for name in names for mark in _UPSCALERS):
        return Kind(UPSCALER)
    alone = _transformer(header)
    if alone is not None:
        return alone
    return Kind(next((words for mark, words in _OTHERS.items() if any(mark in name for name in names)), ""))


def _transformer(header: Mapping[str, Any]) -> Kind | None:
    names = {name.removeprefix(_UNET): entry for name, entry in header.items()}
    if any(name.startswith(_MORE) for name in names):
        return None
    for family, marks, layers in _TRANSFORMERS:
        if any(name.startswith(marks) for name in names):
            shapes = [_shape(names[layer]) for layer in layers if layer in names]
            channels = shapes[0][1] if shapes and len(shapes[0]) > 1 else 0
            guided = any("guidance_in." in name or "guidance_embedder." in name for name in names)
            return Kind(family, channels, alone=True, guided=guided)
    return None


def _is_words(entry: Mapping[str, Any]) -> bool:
    """Whether a file's only tensor can be a few words' features."""
    shape = _shape(entry)
    return len(shape) == 2 and 1 <= shape[0] <= 75 and shape[1] >= 32


def _shape(entry: Mapping[str, Any]) -> list[int]:
    """A tensor's sides; none where the header, which may be a stranger's, holds no numbers there."""
    shape = entry.get("shape")
    return shape if isinstance(shape, list) and all(type(side) is int for side in shape) else []
