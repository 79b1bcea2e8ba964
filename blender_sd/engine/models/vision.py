"""Read words together with pictures, for models whose text encoder sees them (Qwen-Image-Edit).

This replaces transformers' Qwen2VLProcessor, which needs torchvision because it reads videos too.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import BatchFeature, Qwen2Tokenizer, Qwen2VLImageProcessorPil

CLASS = "Qwen2VLProcessor"
_MARK = "<|image_pad|>"


class WordsAndPictures:
    """What a pipeline calls instead of the processor in a folder."""

    def __init__(self, folder: Path) -> None:
        self._pictures = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        self.tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)

    def __call__(self, text: Sequence[str], images: Image.Image | Sequence[Image.Image] | None = None,
                 padding: bool = True,
                 return_tensors: str = "pt") -> BatchFeature:
        """Return the tokens of each text, with as many marks for each picture as it has features, and the pictures'
        patches.
        """
        if images is None:
            return BatchFeature(dict(self.tokenizer(list(text), padding=padding, return_tensors=return_tensors)))
        seen = self._pictures(images=images, return_tensors=return_tensors)
        counts = iter((seen["image_grid_thw"].prod(-1) // self._pictures.merge_size**2).tolist())
        marked = ["".join(piece + (_MARK * next(counts) if number < prompt.count(_MARK) else "")
                          for number, piece in enumerate(prompt.split(_MARK))) for prompt in text]
        return BatchFeature({**self.tokenizer(marked, padding=padding, return_tensors=return_tensors), **seen})


def of(folder: Path, components: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return replacements for the processors among the `components` of the model in `folder`, by name."""
    return {name: WordsAndPictures(folder / name) for name, (_, cls) in components.items() if cls == CLASS}
