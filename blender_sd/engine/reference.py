"""A reference image by IP-Adapter (Ye et al. 2023): what a picture shows joins the prompt.

The adapter adds to the UNet's cross attention; a CLIP image encoder beside it (a folder `image_encoder`, as in the repository
h94/IP-Adapter) reads the picture. Both stay on the model until an order without them comes.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import CLIPVisionModelWithProjection

from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ..protocol.messages import Source, text_of
from ..protocol.request import Request
from . import ladder, memory, sources, weight_files
from .models import Model

_WHAT = "IP-Adapter"
ENCODER = "image_encoder"
_PARTS = ("image_proj", "ip_adapter")


@dataclass(frozen=True)
class Reference:
    """The picture as the pipelines take it: its embeddings, and those of nothing."""

    shown: torch.Tensor
    nothing: torch.Tensor

    def arguments(self, guided: bool) -> dict[str, Any]:
        """The arguments of a pipeline's call; `guided`: whether it paints with and without the prompt at once."""
        return {"ip_adapter_image_embeds": [torch.cat([self.nothing, self.shown]) if guided else self.shown]}


def put_on(model: Model, request: Request, inputs: dict[str, Source], say: Callable[[str], None],
           check: Callable[[], None]) -> Reference | None:
    """Makes the adapter that `request` names, or none, what is on `model`; the reference that its pictures keep to. Raises
    ModelNotFound, ModelUnreadable, SourceUnusable, and InvalidRequest for an adapter of another family; then none is on."""
    if not request.ip_adapter:
        _take_off(model)
        return None
    if not model.family.reference:
        raise InvalidRequest(f"Reference images do not work with {model.family.name} models.", "Choose a model of SD 1.5 or SDXL.")
    picture, _ = sources.open_source(_given(inputs.get("reference")))
    file, encoder = _checked(model, request.ip_adapter)
    key = weight_files.stamp(file)
    with ladder.parts_at_rest(model):
        if model.ip_adapter != key:
            _take_off(model)
            check()
            say(f"Loading {file.stem}")
            _load(model, file, encoder)
            model.ip_adapter = key
        model.base.set_ip_adapter_scale(request.ip_adapter_weight)
        return _read(model, picture)


def _given(source: Source | None) -> Source:
    if source is None:
        raise SourceUnusable("There is no reference image.", "Choose one, or switch the reference off.")
    return source


def _checked(model: Model, path: str) -> tuple[Path, Path]:
    """The adapter's file and the folder of the image encoder that belongs to it."""
    file = weight_files.found(path, _WHAT)
    for place in (file.parent, file.parent.parent, file.parent.parent / "models"):
        if (place / ENCODER / "config.json").is_file():
            return file, place / ENCODER
    raise ModelNotFound(f"The image encoder of the IP-Adapter '{file.stem}' is missing.",
                        f"Put its folder '{ENCODER}' beside the file, as in the repository h94/IP-Adapter.")


def _load(model: Model, file: Path, encoder: Path) -> None:
    weights: dict[str, dict[str, torch.Tensor]] = {part: {} for part in _PARTS}
    for name, tensor in weight_files.read(file, _WHAT).items():
        part, _, rest = name.partition(".")
        if part in weights:
            weights[part][rest] = tensor
    try:
        net = CLIPVisionModelWithProjection.from_pretrained(encoder, dtype=model.dtype, local_files_only=True, use_safetensors=True)
        model.base.register_modules(image_encoder=net.eval().to(model.device.torch))
    except Exception as error:
        raise _unreadable(f"The image encoder in {encoder} cannot be loaded.", error) from error
    try:
        _check_widths(model, weights, net)
        model.base.load_ip_adapter(weights, subfolder="", weight_name=file.name, image_encoder_folder=None)
        model.denoiser.to(dtype=model.dtype)
    except Exception as error:
        _take_off(model, force=True)
        raise weight_files.refusal(model, file, _WHAT, error) from error


def _check_widths(model: Model, weights: dict[str, dict[str, torch.Tensor]], net: CLIPVisionModelWithProjection) -> None:
    """diffusers takes adapters of other widths and fails while painting."""
    wide = {weight.shape[1] for name, weight in weights["ip_adapter"].items() if name.endswith("to_k_ip.weight")}
    layers = sum(name.endswith("attn2.processor") for name in model.denoiser.attn_processors)
    wanted = model.denoiser.config.cross_attention_dim
    if wide != {wanted} or layers * 2 != len(weights["ip_adapter"]):
        raise ValueError(f"{len(weights['ip_adapter'])} layers of width {wide} for {layers * 2} of {wanted}")
    plain = weights["image_proj"].get("proj.weight")
    if plain is not None and plain.shape[1] != net.config.projection_dim:
        raise ValueError(f"the image encoder gives {net.config.projection_dim} features, the adapter reads {plain.shape[1]}")


def _read(model: Model, picture: Image.Image) -> Reference:
    from diffusers.models.embeddings import ImageProjection

    layer = model.denoiser.encoder_hid_proj.image_projection_layers[0]
    shown, nothing = model.base.encode_image(picture, model.device.torch, 1, not isinstance(layer, ImageProjection))
    return Reference(shown[None], nothing[None])


def _take_off(model: Model, force: bool = False) -> None:
    if model.ip_adapter or force:
        model.ip_adapter = ()
        if getattr(model.denoiser, "encoder_hid_proj", None) is not None:
            model.base.unload_ip_adapter()
        model.base.register_modules(image_encoder=None)
        if "feature_extractor" not in model.folder.components:
            model.base.register_modules(feature_extractor=None)


def _unreadable(message: str, error: Exception) -> Exception:
    if memory.is_out_of_memory(error):
        return memory.translated(error)
    return ModelUnreadable(message, "Its folder may be incomplete: download it again.", text_of(error))
