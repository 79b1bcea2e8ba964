"""What a model's own files say of where its weights are, checked before a library follows it.

diffusers and transformers open what the list of weights in several parts names (`*.safetensors.index.json`): files in other folders, and
pickles, which they unpickle in part. transformers does so with the entry `transformers_weights` of a config too.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..protocol.checkpoints import SUFFIX
from ..protocol.errors import ModelUnreadable

_MAX_BYTES = 64 << 20  # of one list; it names every tensor


def check(folder: Path) -> None:
    """Raises ModelUnreadable where the weights of the part in `folder` are said to be anything but safetensors files in it."""
    for file in (folder / "config.json", *sorted(folder.glob(f"*{SUFFIX}.index*.json"))):
        if not file.is_file():
            continue
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ValueError("too long")
            found = json.loads(file.read_text(encoding="utf-8-sig"))
            names = [found.get("transformers_weights")] if file.name == "config.json" else sorted(set(found["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelUnreadable(f"The model's file {folder.name}/{file.name} is broken.", "Download the model again.",
                                  repr(error)) from None
        for name in names:
            if name is not None and not _is_own(name):
                raise ModelUnreadable(f"The model's file {folder.name}/{file.name} names weights that are no safetensors file beside it: "
                                      f"{name!r:.80}.", "Get the model from its owner.")


def _is_own(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(SUFFIX) and not set(name) & set("/\\:")
