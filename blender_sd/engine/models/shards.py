"""Check what a model's own files say about where its weights are, before a library follows them.

diffusers and transformers open the files that a list of weights in several parts names (`*.safetensors.index.json`):
also in other folders, and pickles, which they partly unpickle. transformers does the same with the entry
`transformers_weights` of a config.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.errors import ModelUnreadable
from ...library.checkpoints import SUFFIX

_MAX_BYTES = 64 << 20  # for one list, which names every tensor


def check(folder: Path) -> None:
    """Raise ModelUnreadable if the weights of the part in `folder` are to be anything but safetensors files in it."""
    for file in (folder / "config.json", *sorted(folder.glob(f"*{SUFFIX}.index*.json"))):
        if not file.is_file():
            continue
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ValueError("too long")
            content = json.loads(file.read_text(encoding="utf-8-sig"))
            if file.name == "config.json":
                names = [content.get("transformers_weights")]
            else:
                names = sorted(set(content["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelUnreadable(f"The model's file {folder.name}/{file.name} is broken.", "Download the model again.",
                                  repr(error)) from None
        for name in names:
            if name is not None and not _is_own(name):
                raise ModelUnreadable(f"The model's file {folder.name}/{file.name} names weights that are no "
                                      f"safetensors file beside it: {name!r:.80}.",
                                      "Get the model from its owner.")


def _is_own(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(SUFFIX) and not set(name) & set("/\\:")
