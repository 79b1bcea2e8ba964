"""The layouts of IP-Adapters, one for each kind of denoiser: how a file's tensors are named, which model and which image encoder
they fit, what the encoder reads in a picture, and how the pipelines take that.

diffusers checks little of it: an adapter that does not fit would fail while painting, or leave the model without weights.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

from .models import Model

Tensors = dict[str, torch.Tensor]
_PROJECTION, _ATTENTION = "image_proj", "ip_adapter"


class UNetAdapter:
    """For UNets, as h94/IP-Adapter has them: the picture joins the cross attention. The base of the other layouts."""

    encoder: type = CLIPVisionModelWithProjection
    family = "clip"  # what an encoder's `model_type` begins with

    def parts(self, tensors: Tensors) -> dict[str, Tensors]:
        """The tensors of a file as diffusers takes them: in its two parts, by the names within them."""
        found: dict[str, Tensors] = {_PROJECTION: {}, _ATTENTION: {}}
        for name, tensor in tensors.items():
            part, _, rest = self.named(name).partition(".")
            if part in found:
                found[part][rest] = tensor
        return found

    def named(self, name: str) -> str:
        """What diffusers calls the tensor that is called `name` in a file."""
        return name

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        """Raises ValueError where the adapter was not made for such a denoiser."""
        attention = parts[_ATTENTION]
        wide = {weight.shape[1] for name, weight in attention.items() if name.endswith("to_k_ip.weight")}
        layers = sum(name.endswith("attn2.processor") for name in denoiser.attn_processors)
        wanted = denoiser.config.cross_attention_dim
        if wide != {wanted} or layers * 2 != len(attention):
            raise ValueError(f"{len(attention)} layers of width {wide} for {layers * 2} of {wanted}")

    def reads(self, parts: Mapping[str, Tensors]) -> int | None:
        """The features of the image encoder that the adapter reads; None where diffusers tells that by itself."""
        plain = parts[_PROJECTION].get("proj.weight")
        return None if plain is None else plain.shape[1]

    def gives(self, encoder: Any) -> int:
        """The features that `encoder` gives."""
        return encoder.config.projection_dim

    def processor(self, encoder: Any) -> Any:
        """What prepares pictures for `encoder`; None where diffusers makes it."""
        return None

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        """What the encoder sees in `picture`, and what stands for none: each of shape (1, 1, features), of some adapters
        (1, 1, patches, features); of SD 3.5 (1, patches, features)."""
        from diffusers.models.embeddings import ImageProjection

        layer = model.denoiser.encoder_hid_proj.image_projection_layers[0]
        shown, nothing = model.base.encode_image(picture, model.device.torch, 1, not isinstance(layer, ImageProjection))
        return shown[None], nothing[None]

    def arguments(self, shown: torch.Tensor, nothing: torch.Tensor, guided: bool) -> dict[str, Any]:
        """The arguments of a pipeline's call; `guided`: whether it paints with and without the prompt at once."""
        return {"ip_adapter_image_embeds": [torch.cat([nothing, shown]) if guided else shown]}


class FluxAdapter(UNetAdapter):
    """For Flux.1, as XLabs has them: the picture joins the attention of the double blocks."""

    def named(self, name: str) -> str:
        name = re.sub(r"^double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_([kv])_proj\.", rf"{_ATTENTION}.\1.to_\2_ip.", name)
        return re.sub(r"^ip_adapter_proj_model\.", f"{_PROJECTION}.", name)

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        wide, inner = denoiser.config.joint_attention_dim, denoiser.inner_dim
        layer = {f"to_{way}_ip.{kind}": shape for way in "kv" for kind, shape in (("weight", (inner, wide)), ("bias", (inner,)))}
        blocks = [name for name in denoiser.attn_processors if not name.startswith("single_")]
        _compare(parts[_ATTENTION], _numbered(layer, len(blocks)))
        rows = parts[_PROJECTION]["proj.weight"].shape[0]
        words = 16 if rows == 65536 else 4  # tokens that stand for the picture, as diffusers tells them
        _compare(parts[_PROJECTION], {"proj.weight": (words * wide, self.reads(parts)), "proj.bias": (words * wide,),
                                      "norm.weight": (wide,), "norm.bias": (wide,)})

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        shown = model.base.encode_image(picture, model.device.torch, 1)[None]
        return shown, torch.zeros_like(shown)

    def arguments(self, shown: torch.Tensor, nothing: torch.Tensor, guided: bool) -> dict[str, Any]:
        """Never doubled: this family is told its guidance. Without the second, an image of nothing would be read for each call."""
        return {"ip_adapter_image_embeds": [shown], "negative_ip_adapter_image_embeds": [nothing]}


class SD3Adapter(UNetAdapter):
    """For SD 3.5, as InstantX has them: the picture, seen anew at each step's noise, joins the attention of every block."""

    encoder = SiglipVisionModel
    family = "siglip"

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0

        config, projection = denoiser.config, parts[_PROJECTION]
        inner, times = config.attention_head_dim * config.num_attention_heads, projection["time_embedding.linear_2.weight"].shape[0]
        with torch.device("meta"):
            layer = SD3IPAdapterJointAttnProcessor2_0(inner, inner, config.attention_head_dim, times)
        shapes = {name: tuple(weight.shape) for name, weight in layer.state_dict().items()}
        _compare(parts[_ATTENTION], _numbered(shapes, len(denoiser.attn_processors)))
        _compare({"proj_out.weight": projection["proj_out.weight"]}, {"proj_out.weight": (inner, times)})

    def reads(self, parts: Mapping[str, Tensors]) -> int | None:
        return parts[_PROJECTION]["proj_in.weight"].shape[1]

    def gives(self, encoder: Any) -> int:
        return encoder.config.hidden_size

    def processor(self, encoder: Any) -> Any:
        from transformers import SiglipImageProcessorPil

        side = encoder.config.image_size
        return SiglipImageProcessorPil(size={"height": side, "width": side})

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        shown = model.base.encode_image(picture, model.device.torch)
        return shown, torch.zeros_like(shown)

    def arguments(self, shown: torch.Tensor, nothing: torch.Tensor, guided: bool) -> dict[str, Any]:
        return {"ip_adapter_image_embeds": torch.cat([nothing, shown]) if guided else shown}


_LAYOUTS = {"FluxTransformer2DModel": FluxAdapter(), "SD3Transformer2DModel": SD3Adapter()}
_UNET = UNetAdapter()


def layout_of(model: Model) -> UNetAdapter:
    """The layout of the adapters that `model`, of a family that takes any, can have."""
    return _LAYOUTS.get(type(model.denoiser).__name__, _UNET)


def added_to(model: Model) -> list[torch.nn.Module]:
    """The parts of the denoiser that an adapter has brought; none where none is on."""
    denoiser = model.denoiser
    processors = [part for part in getattr(denoiser, "attn_processors", {}).values() if "IPAdapter" in type(part).__name__]
    projections = [getattr(denoiser, name, None) for name in ("encoder_hid_proj", "image_proj")]
    return [part for part in (*processors, *projections) if isinstance(part, torch.nn.Module)]


def _numbered(layer: Mapping[str, tuple[int, ...]], count: int) -> dict[str, tuple[int, ...]]:
    return {f"{number}.{name}": shape for number in range(count) for name, shape in layer.items()}


def _compare(found: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int | None, ...]]) -> None:
    """Raises ValueError where there are other names, or other shapes, than wanted."""
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    wrong = sorted(name for name in {*shapes, *wanted} if shapes.get(name) != wanted.get(name))
    if wrong:
        raise ValueError(f"{wrong[0]} is {shapes.get(wrong[0])} for {wanted.get(wrong[0])}; {len(wrong)} tensors differ")
