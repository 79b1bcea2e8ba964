"""Models in one file, in the layout of Stability's own checkpoints: SD 1.5, SD 2 and SDXL, also for inpainting; and
transformers.

A transformer alone, as safetensors or GGUF, takes its other parts from a folder in diffusers format. A file holds only
weights. The configs and the tokenizer that it needs are shipped (`models/configs`), so nothing is looked up on the
internet; diffusers converts the names.
"""
from __future__ import annotations

import functools
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ...core.choices import EDM, EDM_VELOCITY, EPSILON, VELOCITY
from ...core.errors import ModelUnreadable
from ...library import checkpoints
from ...library.checkpoints import CONFIGS, PICKLES, SD2, SD15, SDXL, Kind
from ...protocol.messages import text_of
from ..memory import budget
from . import inspection, nets, packed, weight_files

_TEXT_LENGTH = 77
_LAST_BIAS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"  # of SD 2
_TURBO = re.compile(rf"^{re.escape(checkpoints.TURBO_WORDS)}")
_SPREAD = 0.09  # the standard deviation of its values between noise and velocity
PART = "transformer"
_DENOISER, _VAES = "model.diffusion_model.", ("first_stage_model.", "vae.")
_OTHER_PARTS = (*_VAES, "text_encoders.", "cond_stage_model.", "conditioner.")  # which are taken from elsewhere
_PARTS = {  # what the names of each part begin with
    SD15: {"unet": (_DENOISER,), "vae": _VAES, "text_encoder": ("cond_stage_model.transformer.",)},
    SD2: {"unet": (_DENOISER,), "vae": _VAES, "text_encoder": ("cond_stage_model.model.",)},
    SDXL: {"unet": (_DENOISER,), "vae": _VAES, "text_encoder": ("conditioner.embedders.0.transformer.",),
           "text_encoder_2": ("conditioner.embedders.1.model.",)},
}


def kind_of(file: Path, alone: bool | None = False) -> Kind:
    """Return the family of a file.

    Args:
        file: The file.
        alone: Whether it holds a transformer alone, not a checkpoint; None for either.

    Raises:
        ModelUnreadable: It is a pickle, broken, or of another kind.
    """
    if file.suffix.lower() in PICKLES:
        raise ModelUnreadable(f"The model '{file.name}' is a pickle file, which could run any program when opened.",
                              "Get its safetensors version.")
    if file.suffix.lower() not in (checkpoints.SUFFIX, checkpoints.GGUF):
        raise ModelUnreadable(f"The file '{file.name}' is of a kind that cannot be read.",
                              "Choose a .safetensors file, or a folder in diffusers format.")
    try:
        kind = checkpoints.read_kind(str(file))
        if file.suffix.lower() == checkpoints.SUFFIX:
            with safe_open(file, framework="pt"):
                pass  # shows whether the file is complete
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnreadable(f"The model's file {file.name} is broken or incomplete.", "Download it again.",
                              repr(error)) from None
    if kind.refusal:
        raise ModelUnreadable(f"The file '{file.name}' cannot be used. {kind.refusal}", "Choose another model.")
    if kind.alone and alone is False:
        raise ModelUnreadable(f"The file '{file.name}' is the transformer of a {kind.name} model alone.",
                              "Put a model of its family in diffusers format into a model folder: its other parts are "
                              "taken from there.")
    if not (kind.alone if alone else kind.is_checkpoint or alone is None and kind.alone):
        raise ModelUnreadable(f"The file '{file.name}' is no model of SD 1.5, SD 2 or SDXL, but "
                              f"{kind.name or 'something else'}.",
                              "Choose a checkpoint of SD 1.5, SD 2 or SDXL, or a folder in diffusers format.")
    return kind


def index_of(kind: Kind) -> dict[str, Any]:
    """Return what a folder of this family has in its model_index.json."""
    return json.loads(Path(CONFIGS, kind.name, "model_index.json").read_text(encoding="utf-8"))


def fp32_bytes(file: Path) -> tuple[int, ...]:
    """Return the size in fp32 of the denoiser's weights, and of all others."""
    header = checkpoints.read_header(str(file))
    sizes = {name: 4 * torch.Size(entry.get("shape", ())).numel() for name, entry in header.items()}
    denoiser = sum(size for name, size in sizes.items() if name.startswith("model.diffusion_model."))
    return denoiser, sum(sizes.values()) - denoiser


def part_bytes(file: Path) -> int:
    """Return the size in fp32 of a transformer's weights; for a GGUF file, whose weights stay packed, twice its size.
    """
    if file.suffix.lower() == checkpoints.GGUF:
        return 2 * file.stat().st_size
    return 4 * sum(torch.Size(entry.get("shape", ())).numel() for entry in checkpoints.read_header(str(file)).values())


def read_part(file: Path, cls: type, others: Path, dtype: torch.dtype) -> tuple[torch.nn.Module, list[str]]:
    """Return the transformer in a file, in CPU memory, and the names of unused tensors.

    Args:
        file: The file.
        cls: The transformer's class.
        others: The folder whose config it is made by.
        dtype: The precision.
    """
    try:
        if file.suffix.lower() == checkpoints.GGUF:
            with nets.bounded(inspection.weights_of([file])):
                options = {"quantization_config": diffusers.GGUFQuantizationConfig(compute_dtype=dtype)}
                return cls.from_single_file(str(file), config=str(others), subfolder=PART, local_files_only=True,
                                            dtype=dtype,
                                            **options).eval(), []
        read = _tensors(file)
        tensors, more = _split(read, (checkpoints.denoiser_start(read) or _DENOISER,), elsewhere=_OTHER_PARTS)
        net, left = nets.from_tensors(cls, packed.plain(tensors, dtype), others, PART, dtype)
        return net, [*left, *more]
    except ImportError as error:
        raise ModelUnreadable("Reading GGUF files needs the package 'gguf' in the engine's environment.",
                              "Install it there: pip install gguf.", text_of(error)) from error
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        if budget.is_out_of_memory(error):
            raise
        raise ModelUnreadable(f"The transformer in '{file.name}' does not go with the model '{others.name}', or is "
                              "broken.",
                              "Put the model in diffusers format that it belongs to into a model folder.",
                              text_of(error)) from error


def read(file: Path, dtype: torch.dtype, lender: Path | None = None, own_vae: bool = True) -> tuple[Any, list[str]]:
    """Return the pipeline in a file, in CPU memory, and the names of unused tensors.

    Args:
        file: The file.
        dtype: The precision.
        lender: Another model, for parts that the file lacks.
        own_vae: Whether to read the file's own VAE.
    """
    kind = kind_of(file)
    index, config = index_of(kind), Path(CONFIGS, kind.name)
    tensors, left = _tensors(file), []
    edm = _edm(tensors)
    parts: dict[str, Any] = {name: _tokenizer("!" if name == "tokenizer_2" or kind.name == SD2
                                              else "<|endoftext|>") for name in index
                             if name.startswith("tokenizer")}
    if kind.name == SD2:
        tensors = {_TURBO.sub("cond_stage_model.model.", name): tensor for name, tensor in tensors.items()}
    if kind.name == SD2 and not kind.prediction and _predicts_velocity(tensors):
        kind = replace(kind, prediction=VELOCITY)
    parts["scheduler"] = _scheduler(kind, index, config, edm)
    for name, (library, cls) in ((name, entry) for name, entry in index.items() if isinstance(entry, list)
                                 and entry[0] is not None):
        if name in parts or name == "vae" and not own_vae:
            continue
        starts = _PARTS[kind.name][name]
        if not any(key.startswith(starts) for key in tensors):
            parts[name] = _lent(kind, name, cls, lender, dtype)
            continue
        given, tensors = _split(tensors, starts)
        given = packed.plain(given, dtype)
        changes = {"in_channels": kind.channels} if name == "unet" else _edm_latents(edm) if name == "vae" else {}
        parts[name], unread = _part(library, cls, given, config, name, dtype, changes)
        left += unread
    parts |= {"vae": None} if not own_vae else {}
    given, options = getattr(diffusers,
                             index["_class_name"])._get_signature_keys(getattr(diffusers, index["_class_name"]))
    absent = {name: None for name in given if name not in parts}
    settings = {name: value for name, value in index.items() if name in options} | ({"requires_safety_checker": False}
                                                                                    if
                                                                                "requires_safety_checker" in options
                                                                                    else {})
    pipe = getattr(diffusers, index["_class_name"])(**absent, **parts, **settings)
    return pipe, [*left, *(name for name in tensors if own_vae or not name.startswith(_VAES))]


def _part(library: str, cls: str, given: dict[str, torch.Tensor], config: Path, name: str, dtype: torch.dtype,
          changes: dict[str, Any]) -> tuple[torch.nn.Module, list[str]]:
    if library == "transformers":
        return nets.clip_from_tensors(getattr(transformers, cls), _with_inner_name(given), config, name, dtype)
    return nets.from_tensors(getattr(diffusers, cls), given, config, name, dtype, **changes)


def _with_inner_name(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a text encoder's weights under transformers' present names.

    NovelAI's model, and those made from it, leave "text_model" out.
    """
    return {key.replace(".transformer.", ".transformer.text_model.", 1)
            if re.search(r"\.transformer\.(embeddings|encoder|final)", key)
            else key: value for key, value in given.items()}


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    return weight_files.read(file, "model", named=False)


def _split(tensors: dict[str, torch.Tensor], starts: tuple[str, ...],
           elsewhere: tuple[str, ...] = ()) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the tensors whose names begin with one of `starts`, and all others.

    With `elsewhere`, the rest of their names is kept if some begin so; otherwise the first are all tensors that do not
    begin with one of `elsewhere`.
    """
    if not elsewhere:
        return ({name: tensor for name, tensor in tensors.items() if name.startswith(starts)},
                {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)})
    inside = {name[len(start):]: tensor for start in starts
              for name, tensor in tensors.items() if name.startswith(start)}
    if inside:
        return inside, {name: tensor for name, tensor in tensors.items() if not name.startswith((*starts, *elsewhere))}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(elsewhere)}, {}


def _lent(kind: Kind, name: str, cls: str, lender: Path | None, dtype: torch.dtype) -> Any:
    """Return a part that the file lacks, from the model `lender`. Raises ModelUnreadable if there is none."""
    if lender is None:
        raise lacking(kind, name)
    library = diffusers if name == "vae" else transformers
    if lender.is_dir():
        return nets.read(getattr(library, cls), lender, "model", name, dtype=dtype)
    given, _ = _split(_tensors(lender), _PARTS[kind.name][name])
    return _part(library.__name__, cls, packed.plain(given, dtype), Path(CONFIGS, kind.name), name, dtype, {})[0]


def lacking(kind: Kind, name: str) -> ModelUnreadable:
    """Return the error for a file without the part `name`."""
    if name == "vae":
        return ModelUnreadable("The model's file has no VAE.",
                               "Choose a VAE for it (Settings › Model), or put a whole model of its family into a "
                               "model folder.", kind.name)
    return ModelUnreadable("The model's file has no text encoder.",
                           "Put a whole model of its family into a model folder: its text encoder is taken from "
                           "there.", kind.name)


# ---- how it was trained --------------------------------------------------------------------------------------------


def _predicts_velocity(tensors: dict[str, torch.Tensor]) -> bool:
    """Return whether a model of SD 2 predicts the velocity; some predict the noise.

    Its file does not say it; the biases of its last attention spread far wider then. ComfyUI tells it the same way.
    """
    biases = tensors.get(_LAST_BIAS)
    return biases is not None and float(biases.float().std(unbiased=False)) > _SPREAD


def _scheduler(kind: Kind, index: dict[str, Any], config: Path, edm: dict[str, torch.Tensor]) -> Any:
    settings = json.loads((config / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    own = getattr(diffusers, index["scheduler"][1]).from_config(settings)
    return scheduler_for(own, kind.prediction, kind.zero_snr or None,
                         {name: float(value.reshape(-1)[0]) for name, value in edm.items()
                                                                if value.numel() == 1})


def scheduler_for(own: Any, prediction: str, zero_snr: bool | None, sigmas: dict[str, float] | None = None) -> Any:
    """Return a scheduler for how a model was trained, otherwise like `own`.

    Args:
        own: The scheduler to start from.
        prediction: What the model predicts; "" keeps that of `own`.
        zero_snr: Whether it was trained down to no signal at all; None keeps that of `own`.
        sigmas: An EDM model's "sigma_min" and "sigma_max".
    """
    if prediction in (EDM, EDM_VELOCITY):
        usual = {"sigma_min": 0.002, "sigma_max": 80.0 if prediction == EDM else 120.0,
                 "sigma_data": 0.5 if prediction == EDM else 1.0}
        return diffusers.EDMEulerScheduler(**{**usual, **(sigmas or {})},
                                           prediction_type=EPSILON if prediction == EDM else VELOCITY)
    changes: dict[str, Any] = {"prediction_type": prediction} if prediction else {}
    if zero_snr is not None:
        changes |= {"rescale_betas_zero_snr": zero_snr} | ({"timestep_spacing": "trailing"} if zero_snr else {})
    known = inspect.signature(type(own).__init__).parameters
    if any(name not in known for name in changes):  # such as PNDM's, which knows no zero SNR
        return diffusers.DDIMScheduler.from_config(own.config, clip_sample=False, **changes)
    return type(own).from_config(own.config, **changes)


def _edm(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what the markers of EDM models say: mean and spread of their latents, and the noise levels of training."""
    names = {"edm_mean": "mean", "edm_std": "std", "edm_vpred.sigma_max": "sigma_max",
             "edm_vpred.sigma_min": "sigma_min"}
    return {short: tensors[name].float() for name, short in names.items() if name in tensors}


def _edm_latents(edm: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the VAE's settings of Playground 2.5, which shifts and scales its latents."""
    if not {"mean", "std"} <= edm.keys():
        return {}
    return {"latents_mean": edm["mean"].reshape(-1).tolist(), "latents_std": edm["std"].reshape(-1).tolist(),
            "scaling_factor": 0.5}


# ---- CLIP's tokenizer ----------------------------------------------------------------------------------------------


@functools.cache
def _tokenizer(padding: str) -> CLIPTokenizer:
    """Return CLIP's tokenizer, of 49,408 tokens: bytes, bytes that end a word, merges, and the marks of beginning and
    end.
    """
    lines = Path(CONFIGS, "clip_merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines]
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges),
              "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=merges,
                         model_max_length=_TEXT_LENGTH,
                         pad_token=padding)
