"""Reference images by IP-Adapter (Ye et al. 2023): the content of a picture joins the prompt.

The adapter extends the denoiser's attention (`ip_adapters`); an image encoder beside it (a folder `image_encoder`, as
in the repository h94/IP-Adapter) reads the picture. Both stay loaded until a request comes without them.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ...core.request import Request
from ...protocol.messages import Source, text_of
from ..memory import budget, memory_modes
from ..models import inspection, nets, unchanged, weight_files
from ..models.cache import Model
from . import sources
from .ip_adapters import UNetAdapter, added_to, layout_of

_WHAT = "IP-Adapter"
ENCODER = "image_encoder"


@dataclass(frozen=True)
class Reference:
    """A reference image, encoded.

    Attributes:
        layout: The adapter's layout.
        embeddings: The picture's embeddings.
        empty: The embeddings that stand for no picture.
    """

    layout: UNetAdapter
    embeddings: torch.Tensor
    empty: torch.Tensor

    def arguments(self, guided: bool) -> dict[str, Any]:
        """Return the arguments of a pipeline's call. `guided`: whether it paints with and without the prompt at once.
        """
        return self.layout.arguments(self.embeddings, self.empty, guided)


def apply(model: Model, request: Request, inputs: dict[str, Source], nets: Sequence[torch.nn.Module],
          say: Callable[[str], None], check: Callable[[], None]) -> Reference | None:
    """Load the requested IP-Adapter, or unload the current one. Return its embeddings.

    Args:
        model: The loaded model.
        request: The request with real paths (`library.model_paths`).
        inputs: The input pictures by role; "reference" is used.
        nets: The request's ControlNets.
        say: Receives what is being loaded.
        check: May raise to cancel.

    Returns:
        The encoded reference image; None if the request has none.

    Raises:
        InvalidRequest: The model, the task, the ControlNets and the adapter do not go together; then no adapter is
            loaded.
        ModelNotFound: The adapter or its image encoder is missing.
        ModelUnreadable: One of them is broken.
        SourceUnusable: The picture is missing or broken.
    """
    if not request.ip_adapter:
        _unload(model)
        return None
    refused = model.family.refusal(request.task.name, type(nets[0]).__name__ if nets else None, reference=True)
    if refused:
        raise InvalidRequest(refused,
                             f"Take the reference image{' or the controls' if model.family.reference and nets else ''} "
                             "out.")
    picture, _ = sources.open_source(_given(inputs.get("reference")))
    file, encoder = _checked(request.ip_adapter)
    key = weight_files.stamp(file)
    layout = layout_of(model)
    with memory_modes.parts_at_rest(model):
        if model.ip_adapter != key:
            _unload(model)
            check()
            say(f"Loading {file.stem}")
            with unchanged.on_failure(model.modules()):
                _load(model, layout, file, encoder)
            model.ip_adapter = key
        model.base.set_ip_adapter_scale(request.ip_adapter_weight)
        model.base.image_encoder.to(model.device.torch)  # it waits in RAM if the memory mode moves parts
        return Reference(layout, *layout.read(model, picture))


def _given(source: Source | None) -> Source:
    if source is None:
        raise SourceUnusable("There is no reference image.", "Choose one, or switch the reference off.")
    return source


def _checked(path: str) -> tuple[Path, Path]:
    """Return the adapter's file and the folder of its image encoder."""
    file = weight_files.existing(path, _WHAT)
    for place in (file.parent, file.parent.parent, file.parent.parent / "models"):
        if (place / ENCODER / "config.json").is_file():
            return file, place / ENCODER
    raise ModelNotFound(f"The image encoder of the IP-Adapter '{file.stem}' is missing.",
                        f"Put its folder '{ENCODER}' beside the file, as in the repository h94/IP-Adapter.")


def _load(model: Model, layout: UNetAdapter, file: Path, encoder: Path) -> None:
    parts = layout.parts(weight_files.read(file, _WHAT))
    try:
        layout.check(model.denoiser, parts)
        expected = layout.expected_features(parts)
    except (ValueError, KeyError, IndexError) as error:
        raise weight_files.refusal(model.name, file, _WHAT, error) from error
    net = _encoder(model, layout, encoder)
    if expected not in (None, layout.features_of(net)):
        raise InvalidRequest(f"The IP-Adapter '{file.stem}' does not fit the image encoder beside it.",
                             f"Put the one that it was made with into {encoder}.",
                             f"the encoder gives {layout.features_of(net)} features, not {expected}")
    try:
        model.base.register_modules(image_encoder=net.to(model.device.torch))
        processor = layout.processor(net)
        if processor is not None:
            model.base.register_modules(feature_extractor=processor)
        model.base.load_ip_adapter(parts, subfolder="", weight_name=file.name, image_encoder_folder=None)
        for part in added_to(model):
            if any(weight.is_meta for weight in part.parameters()):
                raise ValueError("some weights of the adapter are missing")
            part.to(device=model.device.torch, dtype=model.dtype)
    except Exception as error:
        _unload(model, force=True)
        raise weight_files.refusal(model.name, file, _WHAT, error) from error


def _encoder(model: Model, layout: UNetAdapter, folder: Path) -> Any:
    try:
        kind = inspection.read_json(folder, "config.json").get("model_type", "")
        if kind.startswith(layout.family):
            return nets.read(layout.encoder, folder, "image encoder", dtype=model.dtype)
    except ModelUnreadable:
        raise
    except Exception as error:
        raise _unreadable(f"The image encoder in {folder} cannot be loaded.", error) from error
    raise InvalidRequest(f"The image encoder in {folder} is of another kind than IP-Adapters of {model.family.name} "
                         "read by.",
                         f"Put the one that the adapter was made with there, a {layout.encoder.__name__}.")


def _unload(model: Model, force: bool = False) -> None:
    if model.ip_adapter or force:
        model.ip_adapter = ()
        if added_to(model):
            model.base.unload_ip_adapter()
        model.base.register_modules(image_encoder=None)
        if "feature_extractor" not in model.folder.components:
            model.base.register_modules(feature_extractor=None)


def _unreadable(message: str, error: Exception) -> Exception:
    if budget.is_out_of_memory(error):
        return budget.translated(error)
    return ModelUnreadable(message, "Its folder may be incomplete: download it again.", text_of(error))
