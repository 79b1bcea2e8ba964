"""What all additions in one safetensors file have in common: they are there or not, whole or not, and fit the model or not."""
from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SDError
from ..protocol.messages import text_of
from . import memory
from .models import Model


def found(path: str, what: str) -> Path:
    """The file at `path`, which is to hold `what`, such as a "LoRA". Raises ModelNotFound, ModelUnreadable for a pickle."""
    file = Path(path)
    if not file.is_file():
        raise ModelNotFound(f"There is no {what} file '{path}'.", "Choose another one.")
    if file.suffix.lower() != ".safetensors":
        raise ModelUnreadable(f"The {what} '{file.name}' is no safetensors file; other kinds could run any program when opened.",
                              "Get its safetensors version.")
    return file


def stamp(file: Path) -> tuple:
    """Changes with the file."""
    stat = file.stat()
    return str(file), stat.st_mtime_ns, stat.st_size


def read(file: Path, what: str) -> dict[str, torch.Tensor]:
    """All tensors in `file`. Raises ModelUnreadable where it is not whole."""
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelUnreadable(f"The {what} '{file.name}' is broken or incomplete.", "Download it again.", repr(error)) from None


def refusal(model: Model, file: Path, what: str, error: Exception) -> SDError:
    """What to raise where a library could not put `file` on `model`."""
    if memory.is_out_of_memory(error):
        return memory.translated(error)
    return InvalidRequest(f"The {what} '{file.stem}' does not fit the model '{model.name}'.",
                          "Choose one that was made for the model's family.", text_of(error))
