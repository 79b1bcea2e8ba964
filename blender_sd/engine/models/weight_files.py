"""What all additions in a safetensors file have in common: a file that exists, is complete, and fits the model."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SDError
from ...library.checkpoints import read_header
from ...protocol.messages import text_of
from ..memory import budget
from . import inspection


def existing(path: str, what: str) -> Path:
    """Return the path of a file that must exist.

    Args:
        path: A real path (`library.model_paths`).
        what: What it should hold, such as a "LoRA", for messages.

    Raises:
        ModelNotFound: There is no such file.
        ModelUnreadable: It is a pickle.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelNotFound(f"There is no {what} file '{path}'.", "Choose another one.")
    if file.suffix.lower() != ".safetensors":
        raise ModelUnreadable(f"The {what} '{file.name}' is no safetensors file; other kinds could run any program "
                              "when opened.",
                              "Get its safetensors version.")
    return file


def stamp(file: Path) -> tuple:
    """Return a value that changes with the file."""
    stat = file.stat()
    return str(file), stat.st_mtime_ns, stat.st_size


def read(file: Path, what: str, named: bool = True) -> dict[str, torch.Tensor]:
    """Return all tensors in a file.

    Args:
        file: The file.
        what: What it should hold, for messages.
        named: Whether the tensors' names matter.

    Raises:
        ModelUnreadable: It is incomplete, or has names that no model has.
    """
    try:
        inspection.check_names(read_header(str(file)), named)
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelUnreadable(f"The {what} '{file.name}' is broken or incomplete.", "Download it again.",
                              repr(error)) from None


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity."""
    return [name for name, tensor in tensors.items()
            if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all()]


def refusal(model: str, file: Path, what: str, error: Exception) -> SDError:
    """Return the error to raise if a library could not add `file` to the model of that name."""
    if budget.is_out_of_memory(error):
        return budget.translated(error)
    return InvalidRequest(f"The {what} '{file.stem}' does not fit the model '{model}'.",
                          "Choose one that was made for the model's family.", text_of(error))
