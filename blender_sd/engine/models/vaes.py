"""A VAE that was chosen in place of the model's own: a file in any layout, a folder in diffusers format, or another
model's.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch

from ...core.errors import InvalidRequest, ModelUnreadable, SDError
from ...library.checkpoints import SUFFIX
from ...protocol.messages import text_of
from ..memory import budget
from . import inspection, nets, packed, weight_files

_WHAT = "VAE"
_STARTS = ("first_stage_model.", "vae.")  # how its names begin in a file that holds more
_LATENTS = ("latent_channels", "z_dim")


def read(place: Path, own: type, config: Path, model: str, dtype: torch.dtype) -> tuple[torch.nn.Module, list[str]]:
    """Return a VAE, in CPU memory, and the names of unused tensors.

    Args:
        place: The file or folder.
        own: The class of the model's own VAE.
        config: The folder with the settings of the model's own VAE.
        model: The model's name, for messages.
        dtype: The precision.

    Raises:
        ModelNotFound: There is no such file.
        ModelUnreadable: It is broken.
        InvalidRequest: It does not fit the model.
    """
    expected = _latents(_settings(config / "vae"))
    try:
        if place.is_dir():
            net, left = _of_folder(place, dtype), []
        else:
            tensors = packed.plain(of(weight_files.read(weight_files.existing(str(place), _WHAT), _WHAT, named=False)),
                                   dtype)
            net, left = nets.from_tensors(own, tensors, config, "vae", dtype)
        nets.check_whole(net, {}, place.name, _WHAT)
    except SDError as error:
        if isinstance(error, ModelUnreadable) and "lacks some" in error.message and not place.is_dir():
            raise _misfit(place, model, error.detail) from error
        raise
    except Exception as error:
        if budget.is_out_of_memory(error):
            raise budget.translated(error) from error
        raise _misfit(place, model, text_of(error)) from error
    if expected and _latents(dict(net.config)) not in (expected, 0):
        raise _misfit(place, model, f"{_latents(dict(net.config))} latent channels, not {expected}")
    return net, left


def of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a VAE's tensors under its own names; all tensors if the file holds nothing else."""
    start = next((start for start in _STARTS if any(name.startswith(start) for name in tensors)), "")
    return {name[len(start):]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def _of_folder(place: Path, dtype: torch.dtype) -> torch.nn.Module:
    folder = place / "vae" if (place / "vae" / "config.json").is_file() else place
    kind = _settings(folder).get("_class_name")
    cls = getattr(diffusers, kind, None) if isinstance(kind,
                                                       str) and kind.startswith(("Autoencoder",
                                                                                 "AsymmetricAutoencoder")) else None
    if cls is None:
        raise ModelUnreadable(f"The folder '{place.name}' holds no VAE.",
                              "Choose a VAE in diffusers format, or a .safetensors file.")
    variants = {file.stem.split(".")[1] for file in folder.glob(f"*{SUFFIX}") if "." in file.stem}
    whole = any("." not in file.stem for file in folder.glob(f"*{SUFFIX}"))
    options: dict[str, Any] = {"variant": min(variants)} if variants and not whole else {}
    return nets.read(cls, folder, _WHAT, dtype=dtype, **options)


def _settings(folder: Path) -> dict[str, Any]:
    return inspection.read_json(folder, "config.json") if (folder / "config.json").is_file() else {}


def _latents(settings: dict[str, Any]) -> int:
    return next((settings[name] for name in _LATENTS if type(settings.get(name)) is int), 0)


def _misfit(place: Path, model: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"The VAE '{place.stem}' does not fit the model '{model}'.",
                          "Choose one that was made for the model's family.",
                          detail)
