"""The parts of a model in diffusers format: whether they are there and can be read. The list of models and the engine
both ask here, so that what is offered loads."""
from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from typing import Any

from ..core.errors import ModelUnreadable
from ..core.families import OTHER_PIPELINES, UNNEEDED, is_known
from . import own_files, quantised
from .checkpoints import PICKLES, SUFFIX, UPSCALER_PIPELINES, input_refusal, read_header
from .model_folders import INDEX, read_json

_ANEW = "Download the model again."
_SAFE = "Get its safetensors version, or convert it with diffusers' save_pretrained(safe_serialization=True)."
# The libraries' names of weights: "model", "diffusion_pytorch_model", with a shard's number before or after a variant's
# name.
_NUMBER = r"(?:-\d{5}-of-\d{5})?"
WEIGHTS = re.compile(rf"(?:diffusion_pytorch_)?model{_NUMBER}(?:\.(\w+))?{_NUMBER}\.safetensors")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
_VOCABULARIES = {"vocab.json", "tokenizer.json", "spiece.model", "tokenizer.model", "vocab.txt",
                 "sentencepiece.bpe.model"}
_DENOISERS = ("unet", "transformer")
_NEEDED = ("vae", "text_encoder", "tokenizer", "scheduler")
_LIBRARIES = ("diffusers", "transformers")
_NO_WEIGHTS = ("tokenizer", "processor", "image_processor", *UNNEEDED)  # parts that are settings and words


def check_index(index: Mapping[str, Any], lent: Collection[str] = ()) -> None:
    """Raise ModelUnreadable if a model of this `index` is of no family that can be used, lacks a part, or needs code of
    its own. Nothing else is looked at, so that a download can ask before it begins.
    """
    kind = index.get("_class_name")
    if not isinstance(kind, str) or not (is_known(kind) or kind in UPSCALER_PIPELINES):
        raise ModelUnreadable(f"Models of the pipeline {kind!s:.80} cannot be used here.",
                              "Choose a model of a family that the add-on's guide names.")
    there = {name: entry for name, entry in index.items()
             if isinstance(entry, list) and len(entry) == 2 and entry[0] is not None}
    needed = [name for name in (*_NEEDED, *(("controlnet",) if "ControlNet" in kind else ())) if name not in lent]
    lacking = next((name for name in needed if name not in there), "")
    if not lacking and not there.keys() & set(_DENOISERS):
        lacking = "unet"
    if lacking and kind not in OTHER_PIPELINES:
        raise ModelUnreadable(f"The model's model_index.json names no part '{lacking}'.", "Get the model as a whole.")
    for name, entry in there.items():
        if name not in UNNEEDED and entry[0] not in _LIBRARIES:
            raise ModelUnreadable(f"The model's part '{name:.80}' asks for foreign code: "
                                  f"{entry[0]!s:.40}.{entry[1]!s:.80}",
                                  "Code inside model folders is never run; choose a model of a known family.")


def packing(config: Mapping[str, Any]) -> str:
    """Return how the weights of a part with this `config` are packed, if they cannot be read; otherwise ""."""
    settings = config.get("quantization_config")
    return str(settings.get("quant_method", "unknown"))[:40] if isinstance(settings, dict) else ""


def packed(name: str, how: str) -> ModelUnreadable:
    """Return the error for the part `name`, whose weights are packed in a way that cannot be read."""
    return ModelUnreadable(f"The model's part '{name:.80}' is packed as {how}, which cannot be read.",
                           "Get the model in 16 bits, or its transformer as GGUF.")


def components(folder: str, index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the library and class of each part that the `index` of the model in `folder` names and that is there.

    A part that nothing needs counts as missing if it has only pickles. Raise ModelUnreadable if one that is needed is
    missing, or named by no folder's name.
    """
    found = {}
    for name, entry in index.items():
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] is not None):
            continue
        if not name.isidentifier():
            raise ModelUnreadable(f"The model's model_index.json names a part that is no folder in it: '{name:.80}'.",
                                  _ANEW)
        if os.path.isdir(os.path.join(folder, name)) and not (name in UNNEEDED and _only_pickles(folder, name)):
            found[name] = (str(entry[0]), str(entry[1]))
        elif name not in UNNEEDED:
            raise ModelUnreadable(f"The model's part '{name}' is missing: {os.path.join(folder, name)}", _ANEW)
    return found


def _only_pickles(folder: str, name: str) -> bool:
    files = os.listdir(os.path.join(folder, name))
    return any(file.endswith(PICKLES) for file in files) and not any(file.endswith(SUFFIX) for file in files)


def check_parts(folder: str, parts: Mapping[str, tuple[str, str]], lent: Collection[str] = ()) -> None:
    """Raise ModelUnreadable if something is missing, broken, or of a kind that cannot be read in one of `parts`.

    Args:
        folder: The model's folder.
        parts: What `components` has returned.
        lent: Parts that come from elsewhere.
    """
    index = _check_json(folder, INDEX)
    for name in parts:
        if name in lent or name in UNNEEDED:
            continue
        files = sorted(os.listdir(os.path.join(folder, name)))
        if name.startswith("tokenizer"):
            if not set(files) & _VOCABULARIES:
                raise ModelUnreadable(f"The model's part '{name}' has no vocabulary: {os.path.join(folder, name)}",
                                      _ANEW)
        elif name.endswith("scheduler"):
            _check_json(folder, name, "scheduler_config.json")
        elif not name.startswith(_NO_WEIGHTS):
            _check_weights(folder, name, files)
    for name in _DENOISERS:
        # what enlarges sees the small picture beside the latents
        if name in parts and name not in lent and index.get("_class_name") not in UPSCALER_PIPELINES:
            _check_input(folder, name)


def _check_weights(folder: str, name: str, files: list[str]) -> None:
    every = [file for file in files if file.endswith(SUFFIX)]
    weights = [file for file in every if WEIGHTS.fullmatch(file)]
    if not every and any(file.endswith(PICKLES) for file in files):
        raise ModelUnreadable(
            f"The model's part '{name}' has only pickle files, which could run any program when opened.", _SAFE)
    if every and not weights:
        raise ModelUnreadable(f"The model's part '{name}' has weights under names that no library looks for: "
                              f"{every[0]:.80}",
                              "Name the file as in the model's repository, such as "
                              "diffusion_pytorch_model.safetensors.")
    if not weights:
        raise ModelUnreadable(f"The model's part '{name}' has no weights: {os.path.join(folder, name)}", _ANEW)
    _check_shards(name, files, weights)
    if how := packing(_check_json(folder, name, "config.json")):
        raise packed(name, how)
    for file in weights:
        try:
            how = quantised.refusal(read_header(os.path.join(folder, name, file)))
        except (OSError, ValueError) as error:
            raise ModelUnreadable(f"The model's file {name}/{file} is broken or incomplete.", _ANEW,
                                  repr(error)) from None
        if how:
            raise packed(name, how)


def _check_shards(name: str, files: list[str], weights: list[str]) -> None:
    """Raise ModelUnreadable if weights in several files lack one of them, or the list of what is in which."""
    counts: dict[tuple[str, int], set[int]] = {}
    for file in weights:
        if match := _SHARD.search(file):
            stem = file[:match.start()] + file[match.end():]
            counts.setdefault((stem, int(match[2])), set()).add(int(match[1]))
    for (stem, count), numbers in counts.items():
        if stem in weights:
            continue  # the whole file has the same weights
        if len(numbers) < count:
            missing = min(set(range(1, count + 1)) - numbers)
            raise ModelUnreadable(f"The model's part '{name}' lacks {count - len(numbers)} of the {count} files of its "
                                  f"weights, such as number {missing}.", _ANEW)
        if not any(file.endswith(".json") and ".index" in file for file in files):
            raise ModelUnreadable(f"The model's part '{name}' has weights in {count} files, but no list of what is in "
                                  f"which ({stem}.index.json).", _ANEW)


def _check_input(folder: str, name: str) -> None:
    """Raise ModelUnreadable if the denoiser takes other inputs than a picture's latents, or these and a mask."""
    if name != "unet":
        return  # of transformers, the pipeline's class tells
    channels = read_json(folder, name, "config.json").get("in_channels")
    vae = os.path.join(folder, "vae", "config.json")
    latents = read_json(folder, "vae", "config.json").get("latent_channels") if os.path.isfile(vae) else None
    if type(channels) is int and type(latents) is int and channels not in (latents, 2 * latents + 1):
        raise ModelUnreadable(input_refusal(channels), "Choose another model.")


def _check_json(folder: str, *names: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raise ModelUnreadable if the libraries could not read it."""
    content = read_json(folder, *names)
    if own_files.read(folder, os.path.join(*names)).startswith(BOM_UTF8):
        raise ModelUnreadable(f"The model's file {'/'.join(names)} begins with a byte order mark, which diffusers "
                              "does not read.", "Save it as UTF-8 without one.")
    return content
