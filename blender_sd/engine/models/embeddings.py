"""Textual inversions (Gal et al. 2022): learnt words that prompts name as embedding:name.

They are added to a model's tokenizers and text encoders before a picture, and removed when a request names others.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ...core.errors import InvalidRequest
from ...core.parts import Embedding
from ..memory import memory_modes
from . import unchanged, weight_files
from .cache import Model

_WHAT = "textual inversion"
_ENDS = ("", "_2")  # endings of the encoders' names in a pipeline
_NAMED = ("clip_l", "clip_g")  # the names of the two tensors in a file for SDXL


def apply(model: Model, embeddings: Sequence[Embedding], say: Callable[[str], None], check: Callable[[], None]) -> None:
    """Make `embeddings` exactly what is added to a model.

    Args:
        model: The loaded model.
        embeddings: The words and their files; () for none.
        say: Receives what is being loaded.
        check: May raise to cancel.

    Raises:
        ModelNotFound: A file is missing.
        ModelUnreadable: A file is broken.
        InvalidRequest: A file was made for another family. In all cases none is added.
    """
    files = [weight_files.existing(embedding.file, _WHAT) for embedding in embeddings]
    key = tuple((embedding.word, weight_files.stamp(file)) for embedding, file in zip(embeddings, files, strict=True))
    if key == model.embeddings:
        return
    if not model.family.embeddings:
        raise InvalidRequest(f"Textual inversions do not work with {model.family.name} models.",
                             "Take embedding:… out of the prompt.")
    with memory_modes.parts_at_rest(model):
        _remove(model)
        with unchanged.on_failure(model.modules()):
            try:
                for embedding, file in zip(embeddings, files, strict=True):
                    check()
                    say(f"Loading {file.stem}")
                    _add(model, embedding.word, file)
            except BaseException:
                _remove(model, force=True)
                raise
    model.embeddings = key


def _add(model: Model, word: str, file: Path) -> None:
    tensors = weight_files.read(file, _WHAT, named=False)
    encoders = {end: encoder for end in _ENDS
                if (encoder := model.base.components.get(f"text_encoder{end}")) is not None}
    vectors_of = [tensors[name] for name in _NAMED if name in tensors] or list(tensors.values())[:1]
    try:
        wide = [encoder.get_input_embeddings().weight.shape[1] for encoder in encoders.values()]
        if [vectors.shape[-1] for vectors in vectors_of] != wide:
            raise ValueError(f"{[tuple(vectors.shape) for vectors in vectors_of]} for encoders of width {wide}")
        for (end, encoder), vectors in zip(encoders.items(), vectors_of, strict=True):
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
