"""Models in one file, in the layout of Stability's own checkpoints: SD 1.5 and SDXL, inpainting ones too; and transformers alone,
as safetensors or GGUF, whose other parts are borrowed from a folder in diffusers format.

The file holds weights alone. The configs and the tokenizer that it needs are shipped (`models/configs`), so that nothing is
looked for on the internet; diffusers converts the names.
"""
from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError, safe_open
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ..protocol import checkpoints
from ..protocol.checkpoints import CONFIGS, PICKLES, Kind
from ..protocol.errors import ModelUnreadable
from ..protocol.messages import text_of
from . import memory

_TEXT_LENGTH = 77
PART = "transformer"


def kind_of(file: Path, alone: bool = False) -> Kind:
    """Which family `file` holds, whole or as a transformer `alone`. Raises ModelUnreadable for pickles, broken files, and all else."""
    if file.suffix.lower() in PICKLES:
        raise ModelUnreadable(f"The model '{file.name}' is a pickle file, which could run any program when opened.",
                              "Get its safetensors version.")
    if file.suffix.lower() not in (checkpoints.SUFFIX, checkpoints.GGUF):
        raise ModelUnreadable(f"The file '{file.name}' is of a kind that cannot be read.", "Choose a .safetensors file, or a folder in "
                              "diffusers format.")
    try:
        kind = checkpoints.kind_of(checkpoints.read_header(str(file)))
        if file.suffix.lower() == checkpoints.SUFFIX:
            with safe_open(file, framework="pt"):
                pass  # shows whether the file is whole
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnreadable(f"The model's file {file.name} is broken or incomplete.", "Download it again.", repr(error)) from None
    if kind.alone and not alone:
        raise ModelUnreadable(f"The file '{file.name}' is the transformer of a {kind.name} model alone.", "Put a model of its family in "
                              "diffusers format into a model folder: its other parts are taken from there.")
    if not (kind.alone if alone else kind.is_checkpoint):
        raise ModelUnreadable(f"The file '{file.name}' is no whole model of SD 1.5 or SDXL, but {kind.name or 'something else'}.",
                              "Choose a checkpoint of SD 1.5 or SDXL, or a folder in diffusers format.")
    return kind


def index_of(kind: Kind) -> dict[str, Any]:
    """What a folder of this family says in its model_index.json."""
    return json.loads(Path(CONFIGS, kind.name, "model_index.json").read_text(encoding="utf-8"))


def fp32_bytes(file: Path) -> tuple[int, ...]:
    """What the denoiser's weights and all others take in fp32."""
    header = checkpoints.read_header(str(file))
    sizes = {name: 4 * torch.Size(entry.get("shape", ())).numel() for name, entry in header.items()}
    denoiser = sum(size for name, size in sizes.items() if name.startswith("model.diffusion_model."))
    return denoiser, sum(sizes.values()) - denoiser


def part_bytes(file: Path) -> int:
    """What the weights of a transformer alone take in fp32; of a GGUF file, whose weights stay as they are, twice its size."""
    if file.suffix.lower() == checkpoints.GGUF:
        return 2 * file.stat().st_size
    return 4 * sum(torch.Size(entry.get("shape", ())).numel() for entry in checkpoints.read_header(str(file)).values())


def read_part(file: Path, cls: type, others: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The transformer in `file`, of the class `cls`, in CPU memory, by the config in the folder `others`."""
    options: dict[str, Any] = {}
    if file.suffix.lower() == checkpoints.GGUF:
        options["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    try:
        return cls.from_single_file(str(file), config=str(others), subfolder=PART, local_files_only=True, dtype=dtype, **options).eval()
    except ImportError as error:
        raise ModelUnreadable("Reading GGUF files needs the package 'gguf' in the engine's environment.",
                              "Install it there: pip install gguf.", text_of(error)) from error
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        if memory.is_out_of_memory(error):
            raise
        raise ModelUnreadable(f"The transformer in '{file.name}' does not go with the model '{others.name}', or is broken.",
                              "Put the model in diffusers format that it belongs to into a model folder.", text_of(error)) from error


def read(file: Path, dtype: torch.dtype) -> Any:
    """The pipeline in `file`, in CPU memory."""
    kind = kind_of(file)
    index = index_of(kind)
    words = {name: _tokenizer("!" if name == "tokenizer_2" else "<|endoftext|>") for name in index if name.startswith("tokenizer")}
    with tempfile.TemporaryDirectory(prefix="sd-config-") as temporary:
        config = Path(temporary, kind.name)
        shutil.copytree(Path(CONFIGS, kind.name), config)
        _change(config / "unet" / "config.json", in_channels=kind.channels)
        if kind.velocity:  # and trained down to no signal at all, as those are
            _change(config / "scheduler" / "scheduler_config.json", prediction_type="v_prediction", rescale_betas_zero_snr=True)
        return getattr(diffusers, index["_class_name"]).from_single_file(
            str(file), config=str(config), local_files_only=True, dtype=dtype, **words)


def _change(config: Path, **changes: Any) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@functools.cache
def _tokenizer(padding: str) -> CLIPTokenizer:
    """CLIP's tokenizer, of 49,408 tokens: bytes, bytes that end a word, merges, and the two that mark beginning and end."""
    lines = Path(CONFIGS, "clip_merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines]
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=_TEXT_LENGTH,
                         pad_token=padding)
