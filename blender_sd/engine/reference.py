"""A reference image by IP-Adapter (Ye et al. 2023): what a picture shows joins the prompt.

The adapter adds to the denoiser's attention (`ip_adapters`); an image encoder beside it (a folder `image_encoder`, as in the
repository h94/IP-Adapter) reads the picture. Both stay on the model until an order without them comes.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ..protocol.messages import Source, text_of
from ..protocol.request import Request
from . import ladder, memory, shards, sources, weight_files
from .ip_adapters import UNetAdapter, added_to, layout_of
from .models import Model

_WHAT = "IP-Adapter"
ENCODER = "image_encoder"


@dataclass(frozen=True)
class Reference:
    """The picture as the pipelines of a `layout` take it: its embeddings, and those of nothing."""

    layout: UNetAdapter
    shown: torch.Tensor
    nothing: torch.Tensor

    def arguments(self, guided: bool) -> dict[str, Any]:
        """The arguments of a pipeline's call; `guided`: whether it paints with and without the prompt at once."""
        return self.layout.arguments(self.shown, self.nothing, guided)


def put_on(model: Model, request: Request, inputs: dict[str, Source], nets: Sequence[torch.nn.Module], say: Callable[[str], None],
           check: Callable[[], None]) -> Reference | None:
    """Makes the adapter that `request` names, or none, what is on `model`; the reference that its pictures, steered by the
    ControlNets `nets`, keep to. Raises ModelNotFound, ModelUnreadable, SourceUnusable, and InvalidRequest where the model, the
    adapter and what is asked for do not go together; then nothing of that adapter is on."""
    if not request.ip_adapter:
        _take_off(model)
        return None
    refused = model.family.refusal(request.task, type(nets[0]).__name__ if nets else None, reference=True)
    if refused:
        raise InvalidRequest(refused, f"Take the reference image{' or the controls' if model.family.reference and nets else ''} out.")
    picture, _ = sources.open_source(_given(inputs.get("reference")))
    file, encoder = _checked(request.ip_adapter)
    key = weight_files.stamp(file)
    layout = layout_of(model)
    with ladder.parts_at_rest(model):
        if model.ip_adapter != key:
            _take_off(model)
            check()
            say(f"Loading {file.stem}")
            _load(model, layout, file, encoder)
            model.ip_adapter = key
        model.base.set_ip_adapter_scale(request.ip_adapter_weight)
        model.base.image_encoder.to(model.device.torch)  # where the model moves its parts it rests in RAM
        return Reference(layout, *layout.read(model, picture))


def _given(source: Source | None) -> Source:
    if source is None:
        raise SourceUnusable("There is no reference image.", "Choose one, or switch the reference off.")
    return source


def _checked(path: str) -> tuple[Path, Path]:
    """The adapter's file and the folder of the image encoder that belongs to it."""
    file = weight_files.found(path, _WHAT)
    for place in (file.parent, file.parent.parent, file.parent.parent / "models"):
        if (place / ENCODER / "config.json").is_file():
            return file, place / ENCODER
    raise ModelNotFound(f"The image encoder of the IP-Adapter '{file.stem}' is missing.",
                        f"Put its folder '{ENCODER}' beside the file, as in the repository h94/IP-Adapter.")


def _load(model: Model, layout: UNetAdapter, file: Path, encoder: Path) -> None:
    parts = layout.parts(weight_files.read(file, _WHAT))
    try:
        layout.check(model.denoiser, parts)
        reads = layout.reads(parts)
    except (ValueError, KeyError, IndexError) as error:
        raise weight_files.refusal(model, file, _WHAT, error) from error
    net = _encoder(model, layout, encoder)
    if reads not in (None, layout.gives(net)):
        raise InvalidRequest(f"The IP-Adapter '{file.stem}' does not fit the image encoder beside it.",
                             f"Put the one that it was made with into {encoder}.",
                             f"the encoder gives {layout.gives(net)} features, not {reads}")
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
        _take_off(model, force=True)
        raise weight_files.refusal(model, file, _WHAT, error) from error


def _encoder(model: Model, layout: UNetAdapter, folder: Path) -> Any:
    shards.check(folder)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
        if kind.startswith(layout.family):
            net = layout.encoder.from_pretrained(folder, dtype=model.dtype, local_files_only=True, use_safetensors=True)
            return net.eval()
    except Exception as error:
        raise _unreadable(f"The image encoder in {folder} cannot be loaded.", error) from error
    raise InvalidRequest(f"The image encoder in {folder} is of another kind than IP-Adapters of {model.family.name} read by.",
                         f"Put the one that the adapter was made with there, a {layout.encoder.__name__}.")


def _take_off(model: Model, force: bool = False) -> None:
    if model.ip_adapter or force:
        model.ip_adapter = ()
        if added_to(model):
            model.base.unload_ip_adapter()
        model.base.register_modules(image_encoder=None)
        if "feature_extractor" not in model.folder.components:
            model.base.register_modules(feature_extractor=None)


def _unreadable(message: str, error: Exception) -> Exception:
    if memory.is_out_of_memory(error):
        return memory.translated(error)
    return ModelUnreadable(message, "Its folder may be incomplete: download it again.", text_of(error))
