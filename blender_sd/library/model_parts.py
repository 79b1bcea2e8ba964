"""The parts of a model in diffusers format: whether they are there and can be read. The list of models and the engine
both ask here, so that what is offered loads."""
from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from ..core.errors import ModelUnreadable
from ..core.families import UNNEEDED
from .checkpoints import PICKLES, SUFFIX, read_header

_ANEW = "Download the model again."
_SAFE = "Get its safetensors version, or convert it with diffusers' save_pretrained(safe_serialization=True)."
_NO_WEIGHTS = ("tokenizer", "processor", "image_processor", *UNNEEDED)  # parts that are settings and words


def components(folder: str, index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The parts that the `index` of the model in `folder` names and that are there: name -> (library, class). Raises
    ModelUnreadable where one that is needed is missing or named by no folder's name."""
    found = {}
    for name, entry in index.items():
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] is not None):
            continue
        if not name.isidentifier():
            raise ModelUnreadable(f"The model's model_index.json names a part that is no folder in it: '{name:.80}'.",
                                  _ANEW)
        if os.path.isdir(os.path.join(folder, name)):
            found[name] = (str(entry[0]), str(entry[1]))
        elif name not in UNNEEDED:
            raise ModelUnreadable(f"The model's part '{name}' is missing: {os.path.join(folder, name)}", _ANEW)
    return found


def check_weights(folder: str, parts: Mapping[str, tuple[str, str]], lent: Collection[str] = ()) -> None:
    """Raises ModelUnreadable where the weights of one of `parts` are missing, broken or pickles; `lent` ones come from
    elsewhere."""
    for name in parts:
        if name.startswith(_NO_WEIGHTS) or name.endswith("scheduler") or name in lent:
            continue
        files = sorted(os.listdir(os.path.join(folder, name)))
        weights = [file for file in files if file.endswith(SUFFIX)]
        if not weights and any(file.endswith(PICKLES) for file in files):
            raise ModelUnreadable(
                f"The model's part '{name}' has only pickle files, which could run any program when opened.", _SAFE)
        if not weights:
            raise ModelUnreadable(f"The model's part '{name}' has no weights: {os.path.join(folder, name)}", _ANEW)
        for file in weights:
            try:
                read_header(os.path.join(folder, name, file))
            except (OSError, ValueError) as error:
                raise ModelUnreadable(f"The model's file {name}/{file} is broken or incomplete.", _ANEW,
                                      repr(error)) from None
