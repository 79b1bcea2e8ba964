"""Textual inversions (Gal et al. 2022): words of their own that prompts name as embedding:name, learnt as text features.

They are added to a model's tokenizers and text encoders before a picture, and taken out again when an order names others.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..protocol.errors import InvalidRequest
from ..protocol.parts import Embedding
from . import ladder, weight_files
from .models import Model

_WHAT = "textual inversion"
_ENDS = ("", "_2")  # of the names of a pipeline's encoders
_NAMED = ("clip_l", "clip_g")  # what a file for SDXL calls its two tensors


def put_on(model: Model, embeddings: Sequence[Embedding], say: Callable[[str], None], check: Callable[[], None]) -> None:
    """Makes `embeddings` exactly what is added to `model`. Raises ModelNotFound, ModelUnreadable, InvalidRequest for one made
    for another family; then none is added."""
    files = [weight_files.found(one.file, _WHAT) for one in embeddings]
    key = tuple((one.word, weight_files.stamp(file)) for one, file in zip(embeddings, files, strict=True))
    if key == model.embeddings:
        return
    if not model.family.embeddings:
        raise InvalidRequest(f"Textual inversions do not work with {model.family.name} models.", "Take embedding:… out of the prompt.")
    with ladder.parts_at_rest(model):
        _take_out(model)
        try:
            for one, file in zip(embeddings, files, strict=True):
                check()
                say(f"Loading {file.stem}")
                _add(model, one.word, file)
        except BaseException:
            _take_out(model, force=True)
            raise
    model.embeddings = key


def _add(model: Model, word: str, file: Path) -> None:
    tensors = weight_files.read(file, _WHAT)
    encoders = {end: encoder for end in _ENDS if (encoder := model.base.components.get(f"text_encoder{end}")) is not None}
    found = [tensors[name] for name in _NAMED if name in tensors] or list(tensors.values())[:1]
    try:
        wide = [encoder.get_input_embeddings().weight.shape[1] for encoder in encoders.values()]
        if [vectors.shape[-1] for vectors in found] != wide:
            raise ValueError(f"{[tuple(vectors.shape) for vectors in found]} for encoders of width {wide}")
        for (end, encoder), vectors in zip(encoders.items(), found, strict=True):
            words = model.base.components[f"tokenizer{end}"]
            model.base.load_textual_inversion(vectors.to(torch.float32), token=word, tokenizer=words, text_encoder=encoder)
            encoder.to(model.dtype)
    except Exception as error:
        raise weight_files.refusal(model, file, _WHAT, error) from error


def _take_out(model: Model, force: bool = False) -> None:
    if not (model.embeddings or force):
        return
    model.embeddings = ()
    for end in _ENDS:
        words, encoder = (model.base.components.get(f"{name}{end}") for name in ("tokenizer", "text_encoder"))
        if encoder is not None and any(not token.special for token in words.added_tokens_decoder.values()):
            model.base.unload_textual_inversion(tokenizer=words, text_encoder=encoder)
            encoder.to(model.dtype)
