"""Textual inversions (Gal et al. 2022): learnt words that prompts name as embedding:name, or, where they come in the
file of a LoRA, by the word itself.

They are added to a model's tokenizers and text encoders before a picture, and removed when a request names others.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ...core.errors import InvalidRequest
from ...core.lora_names import NAMED_ENCODERS
from ...core.request import Request
from ..memory import memory_modes
from . import unchanged, weight_files
from .cache import Model

_WHAT = "textual inversion"
_ENDS = ("", "_2")  # endings of the encoders' names in a pipeline
_START = "embedding:"


def apply(model: Model, request: Request, say: Callable[[str], None], check: Callable[[], None]) -> Request:
    """Make the textual inversions of a request exactly what is added to a model.

    Args:
        model: The loaded model, with the request's LoRAs applied: theirs count as well.
        request: The request for one picture.
        say: Receives what is being loaded.
        check: May raise to cancel.

    Returns:
        The request to paint, whose prompts name those of LoRAs as all others are named.

    Raises:
        ModelNotFound: A file is missing.
        ModelUnreadable: A file is broken.
        InvalidRequest: A file was made for another family. In all cases none is added.
    """
    files = {embedding.word: weight_files.existing(embedding.file, _WHAT) for embedding in request.embeddings}
    bundled = {word: f"{_START}{word}" for word in model.lora_bundle if f"{_START}{word}" not in files
               and any(_names(text, word) for text in request.prompts)}
    key = (*((word, weight_files.stamp(file)) for word, file in files.items()),
           *((word, model.loras) for word in bundled))
    if key != model.embeddings:
        _replace(model, files, bundled, say, check)
        model.embeddings = key
    return request.with_prompts([_named(text, bundled) for text in request.prompts])


def _names(prompt: str, word: str) -> bool:
    return word in prompt and _pattern(word).search(prompt) is not None


def _named(prompt: str, bundled: Mapping[str, str]) -> str:
    for word, token in bundled.items():
        prompt = _pattern(word).sub(lambda _match, token=token: token, prompt)
    return prompt


def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w:]){re.escape(word)}(?!\w)")


def _replace(model: Model, files: Mapping[str, Path], bundled: Mapping[str, str], say: Callable[[str], None],
             check: Callable[[], None]) -> None:
    if (files or bundled) and not model.family.embeddings:
        raise InvalidRequest(f"Textual inversions do not work with {model.family.name} models.",
                             "Take embedding:… out of the prompt.")
    with memory_modes.parts_at_rest(model):
        _remove(model)
        with unchanged.on_failure(model.modules()):
            try:
                for word, file in files.items():
                    check()
                    say(f"Loading {file.stem}")
                    _add(model, word, weight_files.read(file, _WHAT, named=False), file)
                for word, token in bundled.items():
                    _add(model, token, model.lora_bundle[word], Path(word), whole=False)
            except BaseException:
                _remove(model, force=True)
                raise


def _add(model: Model, word: str, tensors: Mapping[str, torch.Tensor], file: Path, whole: bool = True) -> None:
    """Add what `word` stands for to the text encoders; `whole`: whether each of them must have vectors for it."""
    encoders = {end: encoder for end in _ENDS
                if (encoder := model.base.components.get(f"text_encoder{end}")) is not None}
    named = [tensors.get(name) for name in NAMED_ENCODERS if name in tensors or not whole and len(encoders) > 1]
    vectors_of = named if any(vectors is not None for vectors in named) else list(tensors.values())[:1]
    try:
        wide = [encoder.get_input_embeddings().weight.shape[1] for encoder in encoders.values()]
        given = [None if vectors is None else vectors.shape[-1] for vectors in vectors_of]
        if len(given) != len(wide) or any(size not in (side, *(() if whole else (None,)))
                                          for size, side in zip(given, wide, strict=True)):
            raise ValueError(f"vectors of {given} for encoders of width {wide}")
        for (end, encoder), vectors in zip(encoders.items(), vectors_of, strict=True):
            if vectors is not None:
                words = model.base.components[f"tokenizer{end}"]
                model.base.load_textual_inversion(vectors.to(torch.float32), token=word, tokenizer=words,
                                                  text_encoder=encoder)
                encoder.to(model.dtype)
    except Exception as error:
        raise weight_files.refusal(model.name, file, _WHAT, error) from error


def _remove(model: Model, force: bool = False) -> None:
    if not (model.embeddings or force):
        return
    model.embeddings = ()
    for end in _ENDS:
        words, encoder = (model.base.components.get(f"{name}{end}") for name in ("tokenizer", "text_encoder"))
        if encoder is not None and any(not token.special for token in words.added_tokens_decoder.values()):
            model.base.unload_textual_inversion(tokenizer=words, text_encoder=encoder)
            encoder.to(model.dtype)
