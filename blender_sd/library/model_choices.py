"""What a person has chosen for a model, in a small file of its own: `blender_sd.json` in a model's folder,
`<name>.blender_sd.json` beside a model in one file. {"vae": "name or file", "prediction": "epsilon" | "v_prediction" |
…, "zero_snr": true | false}; what else is in it stays."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from ..core.choices import AUTO, NOTHING, OFF, ON, PREDICTIONS, Choices
from ..core.errors import ModelNotFound, ModelUnreadable, OutputUnwritable
from . import own_files
from .adapters import resolve_file
from ..core.nets import VAE
from .checkpoints import STARTER_FOLDER
from .files import remove, write_whole
from .licences import OWN
from .paths import is_elsewhere

_KEYS = ("vae", "prediction", "zero_snr")


def file_of(model: str) -> str:
    """Return the path of the choices for the model in the folder or file `model`."""
    return os.path.join(model, OWN) if os.path.isdir(model) else f"{os.path.splitext(model)[0]}.{OWN}"


def read(model: str, folders: Iterable[str] = ()) -> Choices:
    """Return the choices for `model`, NOTHING if there are none.

    Args:
        model: The model's folder or file.
        folders: The model folders. The VAE is named by a path relative to the model, or by its name in these.

    Raises:
        ModelUnreadable: The file holds no valid choices.
        ModelNotFound: There is no such VAE.
    """
    choices = _stored(model)
    prediction, zero_snr = choices.get("prediction", AUTO), choices.get("zero_snr")
    if prediction not in (AUTO, *PREDICTIONS) or not (zero_snr is None or isinstance(zero_snr, bool)):
        raise ModelUnreadable(f"The choices in {os.path.basename(file_of(model))} cannot be read.",
                              f"A prediction is one of: {', '.join(PREDICTIONS)}; zero_snr is true or false.",
                              repr(choices)[:200])
    vae = choices.get("vae", "")
    return Choices(_vae(model, vae, folders) if isinstance(vae, str) and vae.strip() else "", prediction,
                   {None: AUTO, True: ON, False: OFF}[zero_snr])


def write(model: str, choices: Choices) -> None:
    """Store `choices` for `model`. What is AUTO or empty is left out; without any choice the file is deleted.

    Raises:
        OutputUnwritable: The file cannot be written, or the model is the built-in one.
    """
    if os.path.realpath(model) == os.path.realpath(STARTER_FOLDER):
        raise OutputUnwritable("Nothing can be chosen for the built-in model.", "Choose another model.")
    file, kept = file_of(model), {key: value for key, value in _stored(model).items() if key not in _KEYS}
    if choices.vae:
        kept["vae"] = _short(choices.vae, os.path.dirname(file))
    if choices.prediction != AUTO:
        kept["prediction"] = choices.prediction
    if choices.zero_snr != AUTO:
        kept["zero_snr"] = choices.zero_snr == ON
    try:
        if kept:
            write_whole(file, json.dumps(kept, indent=1, ensure_ascii=False).encode())
        elif os.path.exists(file):
            remove(file)
    except OSError as error:
        raise OutputUnwritable(f"The choices cannot be written to {file}.", "Make its folder writable.",
                               repr(error)) from error


def _stored(model: str) -> dict[str, Any]:
    folder, name = os.path.split(file_of(model))
    if not own_files.has(folder, name):
        return {}
    try:
        found = json.loads(own_files.read(folder, name).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The file {name} beside the model is broken.", "Delete or mend it.",
                              repr(error)) from error
    return found if isinstance(found, dict) else {}


def _vae(model: str, name: str, folders: Iterable[str]) -> str:
    beside = os.path.normpath(os.path.join(os.path.dirname(file_of(model)), name))
    if not is_elsewhere(beside, folders) and os.path.exists(beside):
        return beside
    return resolve_file(VAE, name, folders).file


def _short(vae: str, folder: str) -> str:
    """Return the path of `vae` relative to `folder` if it is inside it, otherwise `vae` itself."""
    return os.path.relpath(vae, folder).replace(os.sep, "/") if os.path.abspath(vae).startswith(os.path.join(
        folder, "")) else vae


def safely(model: str, folders: Iterable[str] = ()) -> tuple[Choices, str]:
    """Return the choices as `read` does, and "". If they cannot be read, return NOTHING and the reason."""
    try:
        return read(model, folders), ""
    except (ModelUnreadable, ModelNotFound) as error:
        return NOTHING, str(error)
