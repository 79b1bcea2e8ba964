"""Tell what a safetensors or GGUF file holds from the names and shapes in its header, without reading weights.

A safetensors file begins with the length of its header (8 bytes, little-endian), then the header as JSON:
https://huggingface.co/docs/safetensors
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
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
STARTER_UPSCALER_FILE = os.path.join(_MODELS, "starter_upscaler", "starter_x2.safetensors")
SD15, SD2, SDXL = "sd15", "sd2", "sdxl"
VAE_CLASSES = ("AutoencoderKL", "AutoencoderTiny", "AsymmetricAutoencoderKL", "AutoencoderKLFlux2",
               "AutoencoderKLQwenImage", "AutoencoderDC")
ADDITIONS = (LORA, IP_ADAPTER, EMBEDDING, UPSCALER, VAE)  # what single files may hold beside models and ControlNets
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
    "conditioner.embedders.0.model.": "the SDXL refiner", "double_blocks.": "Flux", "joint_blocks.": "SD 3",
    "input_hint_block.": "a ControlNet", "controlnet_cond_embedding.": "a ControlNet", "first_stage_model.": VAE,
    "decoder.conv_in.weight": VAE, _UNET: "a denoiser alone", "text_model.encoder.layers.0.": "a text encoder",
    "encoder.block.0.layer.0.": "a text encoder",
}
# what the text encoders' names begin with
_WORDS = {SD15: ("cond_stage_model.transformer.",), SD2: ("cond_stage_model.model.",),
          SDXL: ("conditioner.embedders.0.", "conditioner.embedders.1.")}
TURBO_WORDS = "conditioner.embedders.0.model."  # of SD-Turbo, an SD 2 in SDXL's layout; the SDXL refiner has it too
_UNCLIP = "an SD 2 model that reads pictures in place of words (unCLIP)"
_OF_XL = _UNET + "label_emb.0.0.weight"
_DOUBLE = ("double_blocks.", "transformer_blocks.")
# Of files that hold a transformer: names that only one family's have, in the original layout or in diffusers'; the
# first layer, which tells how many channels it sees; and the blocks: larger members have more.
_TRANSFORMERS = (
    ("Flux.2", ("double_stream_modulation_img.",), ("img_in.weight", "x_embedder.weight"), _DOUBLE),
    ("Flux.1", ("single_blocks.0.modulation.lin.", "single_transformer_blocks.0.proj_mlp."),
     ("img_in.weight", "x_embedder.weight"), _DOUBLE),
    ("SD 3.5", ("joint_blocks.0.", "pos_embed.pos_embed"), ("x_embedder.proj.weight", "pos_embed.proj.weight"),
     ("joint_blocks.", "transformer_blocks.")),
    ("Z-Image", ("cap_pad_token",), (), ("layers.",)),
    ("Qwen-Image", ("transformer_blocks.0.img_mod.1.",), ("img_in.weight",), ("transformer_blocks.",)),
    ("SANA", ("y_embedder.y_proj.fc1.", "caption_norm.weight"), (), ("blocks.", "transformer_blocks.")),
)
# what the names of a transformer begin with in files of ComfyUI, Forge and trainers
_DENOISERS = (_UNET, "diffusion_model.", "transformer.", "model.", "net.", "")
_VAES = (_VAE, "vae.")
_SPOKEN = {
    "epsilon": EPSILON, "eps": EPSILON, "noise": EPSILON, "v": VELOCITY, "v_prediction": VELOCITY,
    "v-prediction": VELOCITY, "vpred": VELOCITY, "v_pred": VELOCITY, "velocity": VELOCITY, "edm": EDM}


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        name: One of the names above for what can be used, else words that say what it is; "" if that is unknown.
        channels: What a checkpoint's denoiser takes in, 9 for inpainting; of a transformer, what goes into its first
            layer, 0 if that tells nothing.
        prediction: What it says that it predicts (`core.choices`); "" if it says nothing.
        zero_snr: Whether it was trained down to no signal at all.
        lacks: The parts that a checkpoint has not got (VAE_PART, WORDS_PART).
        alone: Whether it holds the transformer of the family `name` (`core.families`).
        guided: Whether that transformer has a layer for guidance.
        depth: How many blocks it has; 0 if that is unknown.
        has_vae: Whether its VAE is in the file too.
        refusal: Why it cannot be read, as a sentence; "" if it can.
        controlnet: The kind of ControlNet that it holds.
    """

    name: str
    channels: int = 4
    prediction: str = ""
    zero_snr: bool = False
    lacks: tuple[str, ...] = ()
    alone: bool = False
    guided: bool = False
    depth: int = 0
    has_vae: bool = False
    refusal: str = ""
    controlnet: ControlNet | None = None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a model of a family that can be read from one file, whole or but for what it `lacks`."""
        return self.name in (SD15, SD2, SDXL)


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


def header_length(start: bytes) -> int:
    """Return how many bytes a safetensors file with these first 8 bytes has before its weights.

    Raises:
        ValueError: It is no such file.
    """
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or not 2 <= length <= _MAX_HEADER:
        raise ValueError("no safetensors header")
    return 8 + length


def parsed(start: bytes, size: int) -> dict[str, Any]:
    """Return the header of a safetensors file, with its metadata.

    Args:
        start: The file's first `header_length` bytes, or more.
        size: The bytes of the whole file.

    Raises:
        ValueError: It is no such file, or shorter than its header says.
    """
    length = header_length(start)
    try:
        header = json.loads(start[8:length])
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ValueError("no safetensors header")
    if len(header) > _MAX_TENSORS:
        raise ValueError(f"{len(header)} tensors")
    ends = [
        span[1] for entry in header.values()
        if isinstance(span := entry.get("data_offsets"), list) and len(span) == 2 and type(span[1]) is int]
    if size < length + max(ends, default=0):
        raise ValueError("the file ends too soon")
    return header


def _read(file: str) -> dict[str, Any]:
    with open_plain(file) as data:
        start = data.read(8)
        return parsed(start + data.read(header_length(start) - 8), os.path.getsize(file))


def read_kind(file: str) -> Kind:
    """What the safetensors or GGUF file `file` holds: the one place that decides whether it can be used. Raises as
    `read_header` does."""
    if file.lower().endswith(GGUF):
        return kind_of(gguf.read_header(file))
    return kind_in(_read(file))


def kind_in(parts: Mapping[str, Any]) -> Kind:
    """Return what the safetensors file with this `parsed` header holds."""
    return kind_of({name: entry for name, entry in parts.items() if name != _METADATA}, parts.get(_METADATA, {}))


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
    """SD 1.5, SD 2 or SDXL in the layout of Stability's checkpoints, also without VAE or text encoders; None for all
    else."""
    if _FIRST not in header:
        return None
    reads = _reads(header)
    if any(name.startswith(TURBO_WORDS) for name in header) and reads != 1024:
        return None  # the SDXL refiner
    family = SD2 if reads == 1024 or any(name.startswith(_WORDS[SD2]) for name in header) else SD15
    if family == SD2 and _OF_XL in header:
        return Kind(_UNCLIP)
    if family != SD2 and (_OF_XL in header or any(name.startswith(_WORDS[SDXL]) for name in header)):
        family = SDXL
    turbo = family == SD2 and any(name.startswith(TURBO_WORDS) for name in header)
    starts = (TURBO_WORDS,) if turbo else _WORDS[family]
    has_words = all(any(name.startswith(start) for name in header) for start in starts)
    lacks = ((VAE_PART,) if not any(name.startswith(_VAES) for name in header) else ()) + (() if has_words else
                                                                                            (WORDS_PART,))
    shape = _shape(header[_FIRST])
    channels = shape[1] if len(shape) == 4 else 4
    prediction, zero_snr = _prediction(header, metadata)
    return Kind(family, channels, prediction, zero_snr, lacks, refusal=_packed(header) or input_refusal(channels))


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


def input_refusal(channels: int) -> str:
    """Return why a UNet that takes so many channels cannot be used; "" if it can."""
    if channels == 8:
        return "It edits pictures by instruction (InstructPix2Pix), which is not done here."
    return f"Its denoiser takes {channels} channels, which no model that is known here does." if channels not in (
        4, 9) else ""


def _packed(header: Mapping[str, Any]) -> str:
    packed = quantised.refusal(header)
    return f"Its weights are packed as {packed}, which cannot be read." if packed else ""


def denoiser_start(names: Iterable[str]) -> str:
    """Return what the names of a transformer's tensors begin with in a file with these `names`; "" for nothing."""
    listed = list(names)
    marks = tuple(mark for _, family, _, _ in _TRANSFORMERS for mark in family)
    return next((start for start in _DENOISERS
                 if any(name.startswith(start) and name.startswith(marks, len(start)) for name in listed)), "")


def _transformer(header: Mapping[str, Any]) -> Kind | None:
    start = denoiser_start(header)
    names = {name[len(start):]: entry for name, entry in header.items() if name.startswith(start)}
    if any("controlnet" in name for name in names):
        return None
    for family, marks, layers, blocks in _TRANSFORMERS:
        if any(name.startswith(marks) for name in names):
            shapes = [_shape(names[layer]) for layer in layers if layer in names]
            channels = shapes[0][1] if shapes and len(shapes[0]) > 1 else 0
            guided = any("guidance_in." in name or "guidance_embedder." in name for name in names)
            return Kind(family, channels, alone=True, guided=guided, depth=_depth(names, blocks),
                        has_vae=any(name.startswith(_VAES) for name in header), refusal=_packed(header))
    return None


def _depth(names: Iterable[str], blocks: tuple[str, ...]) -> int:
    """Return how many numbered blocks there are whose names begin with one of `blocks`."""
    numbers = {name[len(start):].partition(".")[0] for name in names for start in blocks if name.startswith(start)}
    return sum(number.isdecimal() for number in numbers)


def _is_words(entry: Mapping[str, Any]) -> bool:
    """Return whether a file's only tensor can be the embeddings of a few words."""
    shape = _shape(entry)
    return len(shape) == 2 and 1 <= shape[0] <= 75 and shape[1] >= 32


def _shape(entry: Mapping[str, Any]) -> list[int]:
    """Return a tensor's shape, [] if the header (possibly a malicious one) holds no numbers there."""
    shape = entry.get("shape")
    return shape if isinstance(shape, list) and all(type(side) is int for side in shape) else []
