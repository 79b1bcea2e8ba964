"""Tell what a safetensors or GGUF file holds from the names and shapes in its header, without reading weights.

A safetensors file begins with the length of its header (8 bytes, little-endian), then the header as JSON:
https://huggingface.co/docs/safetensors
"""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core import lora_names
from ..core.choices import EDM, EDM_VELOCITY, EPSILON, VELOCITY
from ..core.families import ControlNet
from ..core.nets import EMBEDDING, IP_ADAPTER, LORA, UPSCALER, VAE, VAE_PART, WORDS_PART
from . import gguf, quantised
from .controlnet_files import controlnet_in
from .paths import open_plain

SUFFIX, GGUF = ".safetensors", ".gguf"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_MODELS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "models")
CONFIGS = os.path.join(_MODELS, "configs")
STARTER_FOLDER, STARTER_CONTROL_FOLDER = os.path.join(_MODELS, "starter"), os.path.join(_MODELS, "starter_control")
SD15, SDXL = "sd15", "sdxl"
VAE_CLASSES = ("AutoencoderKL", "AutoencoderTiny", "AsymmetricAutoencoderKL", "AutoencoderKLFlux2",
               "AutoencoderKLQwenImage", "AutoencoderDC")
# Pipelines of diffusers' folders that only enlarge pictures.
UPSCALER_PIPELINES = ("StableDiffusionUpscalePipeline", "StableDiffusionLatentUpscalePipeline")
# Parts of tensor names that only upscalers have: ESRGAN (two spellings), SwinIR, Swin2SR, HAT, ATD, then DAT, RGT,
# DRCT, Compact, SPAN, PLKSR, MoSR, OmniSR, RCAN, RealCUGAN. spandrel knows more; those can be given by their path.
_UPSCALERS = (".RDB1.", ".rdb1.", "layers.0.residual_group.", "layers.0.blocks.0.attn.attns.", "layers.0.swin1.",
              "body.1.weight",
              "block_1.c1_r.", "feats.1.lk.", "gblocks.1.", "residual_layer.0.residual_layer.", "body.0.body.0.body.",
              "unet1.conv_bottom.")
_MAX_HEADER = 32 << 20  # bytes; the headers of the largest models have a few million
_MAX_TENSORS = 1 << 17  # the largest models have some ten thousand per file
_MAX_TITLE = 300  # characters
_METADATA = "__metadata__"
# How tensor names in IP-Adapters begin: those for UNets and SD 3.5 (h94's, InstantX's), and XLabs' for Flux.1, whose
# other names are a Flux transformer's.
_IP_ADAPTERS = ("ip_adapter.", "ip_adapter_proj_model.")
_TITLES = ("modelspec.title", "ss_output_name")
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_FIRST = _UNET + "input_blocks.0.0.weight"
# Other kinds, by a tensor name that only they have; tried in this order.
_OTHERS = {
    "conditioner.embedders.0.model.": "the SDXL refiner", "cond_stage_model.model.": "SD 2", "double_blocks.": "Flux",
    "joint_blocks.": "SD 3", "input_hint_block.": "a ControlNet", "controlnet_cond_embedding.": "a ControlNet",
    "first_stage_model.": VAE, "decoder.conv_in.weight": VAE, _UNET: "a denoiser alone",
    "text_model.encoder.layers.0.": "a text encoder", "encoder.block.0.layer.0.": "a text encoder",
}
# what the text encoders' names begin with
_WORDS = {SD15: "cond_stage_model.transformer.", SDXL: "conditioner.embedders.1."}
_OF_XL = _UNET + "label_emb.0.0.weight"
# Of files that hold a transformer: names that only one family's have, in the original layout or in diffusers', and the
# first layer, which tells how many channels it sees.
_TRANSFORMERS = (
    ("Flux.2", ("double_stream_modulation_img.",), ("img_in.weight", "x_embedder.weight")),
    ("Flux.1", ("single_blocks.0.modulation.lin.", "single_transformer_blocks.0.proj_mlp."),
     ("img_in.weight", "x_embedder.weight")),
    ("SD 3.5", ("joint_blocks.0.",), ("x_embedder.proj.weight",)),
    ("Z-Image", ("cap_pad_token",), ()),
    ("Qwen-Image", ("transformer_blocks.0.img_mod.1.",), ("img_in.weight",)),
    ("SANA", ("y_embedder.y_proj.fc1.", "caption_norm.weight"), ()),
)
_VAES = (_VAE, "vae.")
_SPOKEN = {
    "epsilon": EPSILON, "eps": EPSILON, "noise": EPSILON, "v": VELOCITY, "v_prediction": VELOCITY,
    "v-prediction": VELOCITY, "vpred": VELOCITY, "v_pred": VELOCITY, "velocity": VELOCITY, "edm": EDM}


@dataclass(frozen=True)
class Kind:
    """What a file is: `name` is one of the names above for what can be used, else words that say what it is (""
    unknown). `channels`: what a checkpoint's denoiser takes in, 9 for inpainting. `prediction`: what it says that it
    predicts (`core.choices`), "" where it says nothing; `zero_snr`: whether it was trained down to no signal at all.
    `lacks`: the parts that a checkpoint has not got (VAE_PART, WORDS_PART). `alone`: it holds the transformer of the
    family `name` (`core.families`), with `channels` going into its first layer (0 where that tells nothing), `guided`
    by a layer of its own, and perhaps its VAE (`has_vae`). `controlnet`: what kind of ControlNet it holds. `refusal`:
    why it cannot be read, as a sentence; "" where it can."""

    name: str
    channels: int = 4
    prediction: str = ""
    zero_snr: bool = False
    lacks: tuple[str, ...] = ()
    alone: bool = False
    guided: bool = False
    has_vae: bool = False
    refusal: str = ""
    controlnet: ControlNet | None = None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a model of a family that can be read from one file, whole or but for what it `lacks`."""
        return self.name in (SD15, SDXL)


def read_header(file: str) -> dict[str, Any]:
    """Return the header of a safetensors or GGUF file: tensor names to {"shape", …}.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no such file.
    """
    if file.lower().endswith(GGUF):
        return gguf.read_header(file)
    return {name: entry for name, entry in _read(file).items() if name != _METADATA}


def read_title(file: str) -> str:
    """Return the title of the model in `file`, "" if it has none. Raise the same errors as `read_header`.

    The title is in the metadata that ModelSpec (https://github.com/Stability-AI/ModelSpec) and Kohya's trainers write.
    """
    if file.lower().endswith(GGUF):
        return ""
    metadata = read_metadata(file)
    return " ".join(title[:_MAX_TITLE] for key in _TITLES if isinstance(title := metadata.get(key), str))


def read_metadata(file: str) -> dict[str, Any]:
    """Return the metadata of a safetensors file, as its maker wrote it. Raise the same errors as `read_header`."""
    return _read(file).get(_METADATA, {})


def _read(file: str) -> dict[str, Any]:
    with open_plain(file) as data:
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
    ends = [
        span[1] for entry in header.values()
        if isinstance(span := entry.get("data_offsets"), list) and len(span) == 2 and type(span[1]) is int]
    if os.path.getsize(file) < 8 + length + max(ends, default=0):
        raise ValueError("the file ends too soon")
    return header


def read_kind(file: str) -> Kind:
    """What the safetensors or GGUF file `file` holds: the one place that decides whether it can be used. Raises as
    `read_header` does."""
    if file.lower().endswith(GGUF):
        return kind_of(gguf.read_header(file))
    found = _read(file)
    metadata = found.pop(_METADATA, {})
    return kind_of(found, metadata)


def kind_of(header: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Kind:
    """What the file with this header and these `metadata` holds."""
    names = list(header)
    if (net := controlnet_in(header)) is not None:
        return Kind("a ControlNet", controlnet=net, refusal=_packed(header))
    if lora_names.is_lora(names):
        foreign = lora_names.foreign_kind(names)
        return Kind(LORA, refusal=f"It is of the kind {foreign}, which cannot be put on." if foreign else "")
    if any(name.startswith(_IP_ADAPTERS) for name in names):
        return Kind(IP_ADAPTER)
    if names and (set(names) <= {"clip_l", "clip_g"} or names == ["emb_params"]
                  or len(names) == 1 and _is_words(header[names[0]])):
        return Kind(EMBEDDING)
    found = _checkpoint(header, metadata or {})
    if found is not None:
        return found
    if any(mark in name for name in names for mark in _UPSCALERS):
        return Kind(UPSCALER)
    return _transformer(header) or Kind(
        next((words for mark, words in _OTHERS.items() if any(mark in name for name in names)), ""))


def _checkpoint(header: Mapping[str, Any], metadata: Mapping[str, Any]) -> Kind | None:
    """SD 1.5 or SDXL in the layout of Stability's checkpoints, also without VAE or text encoders; None for all else."""
    if _FIRST not in header or any(
            name.startswith(("conditioner.embedders.0.model.", "cond_stage_model.model.")) for name in header):
        return None
    family = SDXL if _OF_XL in header or any(name.startswith(_WORDS[SDXL]) for name in header) else SD15
    if _reads(header) == 1024:
        return Kind("SD 2")
    has_words = any(name.startswith(_WORDS[family]) for name in header)
    lacks = ((VAE_PART,) if not any(name.startswith(_VAES) for name in header) else ()) + (() if has_words else
                                                                                            (WORDS_PART,))
    shape = _shape(header[_FIRST])
    channels = shape[1] if len(shape) == 4 else 4
    prediction, zero_snr = _prediction(header, metadata)
    return Kind(family, channels, prediction, zero_snr, lacks, refusal=_packed(header) or _input_refusal(channels))


def _reads(header: Mapping[str, Any]) -> int:
    """The width of the words that a UNet reads; 0 where it does not tell."""
    return next(
        (shape[1]
         for name, entry in header.items() if name.endswith("attn2.to_k.weight") and len(shape := _shape(entry)) == 2),
        0)


def _prediction(header: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[str, bool]:
    """What a checkpoint says of its training: by tensors that are only there to say it, or by ModelSpec's words."""
    spoken = metadata.get("modelspec.prediction_type")
    zero_snr = "ztsnr" in header or str(
        metadata.get("modelspec.zero_terminal_snr", metadata.get("ss_zero_terminal_snr"))).lower() == "true"
    if "edm_mean" in header and "edm_std" in header:
        return EDM, False
    if any(name.startswith("edm_vpred.") for name in header):
        return EDM_VELOCITY, False
    if "v_pred" in header:
        return VELOCITY, zero_snr
    return _SPOKEN.get(spoken.strip().lower(), "") if isinstance(spoken, str) else "", zero_snr


def _input_refusal(channels: int) -> str:
    if channels == 8:
        return "It edits pictures by instruction (InstructPix2Pix), which is not done here."
    return f"Its denoiser takes {channels} channels, which no model that is known here does." if channels not in (
        4, 9) else ""


def _packed(header: Mapping[str, Any]) -> str:
    packed = quantised.refusal(header)
    return f"Its weights are packed as {packed}, which cannot be read." if packed else ""


def _transformer(header: Mapping[str, Any]) -> Kind | None:
    names = {name.removeprefix(_UNET): entry for name, entry in header.items()}
    if any("controlnet" in name for name in names):
        return None
    for family, marks, layers in _TRANSFORMERS:
        if any(name.startswith(marks) for name in names):
            shapes = [_shape(names[layer]) for layer in layers if layer in names]
            channels = shapes[0][1] if shapes and len(shapes[0]) > 1 else 0
            guided = any("guidance_in." in name or "guidance_embedder." in name for name in names)
            return Kind(family, channels, alone=True, guided=guided,
                        has_vae=any(name.startswith(_VAES) for name in names), refusal=_packed(header))
    return None


def _is_words(entry: Mapping[str, Any]) -> bool:
    """Return whether a file's only tensor can be the embeddings of a few words."""
    shape = _shape(entry)
    return len(shape) == 2 and 1 <= shape[0] <= 75 and shape[1] >= 32


def _shape(entry: Mapping[str, Any]) -> list[int]:
    """Return a tensor's shape, [] if the header (possibly a malicious one) holds no numbers there."""
    shape = entry.get("shape")
    return shape if isinstance(shape, list) and all(type(side) is int for side in shape) else []
