"""Layouts of IP-Adapters, one for each kind of denoiser.

A layout knows how a file's tensors are named, which model and image encoder they fit, how the encoder reads a picture,
and how the pipelines take the result. diffusers checks little of that: an adapter that does not fit would fail while
painting, or leave the model without weights.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

from ..models.cache import Model

Tensors = dict[str, torch.Tensor]
_PROJECTION, _ATTENTION = "image_proj", "ip_adapter"


class UNetAdapter:
    """The layout for UNets, as in h94/IP-Adapter: the picture joins the cross attention. Base of the other layouts."""

    encoder: type = CLIPVisionModelWithProjection
    family = "clip"  # how the encoder's `model_type` begins

    def parts(self, tensors: Tensors) -> dict[str, Tensors]:
        """Return a file's tensors as diffusers takes them: by part, then by name within it."""
        parts: dict[str, Tensors] = {_PROJECTION: {}, _ATTENTION: {}}
        for name, tensor in tensors.items():
            part, _, rest = self.name_in_diffusers(name).partition(".")
            if part in parts:
                parts[part][rest] = tensor
        return parts

    def name_in_diffusers(self, name: str) -> str:
        """Return diffusers' name for the tensor that a file calls `name`."""
        return name

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        """Raise ValueError if the adapter was not made for this denoiser."""
        attention = parts[_ATTENTION]
        wide = {weight.shape[1] for name, weight in attention.items() if name.endswith("to_k_ip.weight")}
        layers = sum(name.endswith("attn2.processor") for name in denoiser.attn_processors)
        wanted = denoiser.config.cross_attention_dim
        if wide != {wanted} or layers * 2 != len(attention):
            raise ValueError(f"{len(attention)} layers of width {wide} for {layers * 2} of {wanted}")

    def expected_features(self, parts: Mapping[str, Tensors]) -> int | None:
        """Return how many features the adapter expects of the image encoder; None where diffusers finds out itself."""
        plain = parts[_PROJECTION].get("proj.weight")
        return None if plain is None else plain.shape[1]

    def features_of(self, encoder: Any) -> int:
        """Return how many features an image encoder gives."""
        return encoder.config.projection_dim

    def processor(self, encoder: Any) -> Any:
        """Return what prepares pictures for the encoder; None where diffusers makes it."""
        return None

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings of a picture, and those that stand for no picture.

        Each is (1, 1, features), with some adapters (1, 1, patches, features); for SD 3.5 (1, patches, features).
        """
        from diffusers.models.embeddings import ImageProjection

        layer = model.denoiser.encoder_hid_proj.image_projection_layers[0]
        embeddings, empty = model.base.encode_image(picture, model.device.torch, 1,
                                                    not isinstance(layer, ImageProjection))
        return embeddings[None], empty[None]

    def arguments(self, embeddings: torch.Tensor, empty: torch.Tensor, guided: bool) -> dict[str, Any]:
        """Return the arguments of a pipeline's call.

        Args:
            embeddings: The picture's embeddings.
            empty: The embeddings that stand for no picture.
            guided: Whether the pipeline paints with and without the prompt at once.
        """
        return {"ip_adapter_image_embeds": [torch.cat([empty, embeddings]) if guided else embeddings]}


class FluxAdapter(UNetAdapter):
    """The layout for Flux.1, as XLabs publishes them: the picture joins the attention of the double blocks."""

    def name_in_diffusers(self, name: str) -> str:
        name = re.sub(r"^double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_([kv])_proj\.",
                      rf"{_ATTENTION}.\1.to_\2_ip.", name)
        return re.sub(r"^ip_adapter_proj_model\.", f"{_PROJECTION}.", name)

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        wide, inner = denoiser.config.joint_attention_dim, denoiser.inner_dim
        layer = {f"to_{way}_ip.{kind}": shape for way in "kv"
                 for kind, shape in (("weight", (inner, wide)), ("bias", (inner,)))}
        blocks = [name for name in denoiser.attn_processors if not name.startswith("single_")]
        _compare(parts[_ATTENTION], _numbered(layer, len(blocks)))
        rows = parts[_PROJECTION]["proj.weight"].shape[0]
        words = 16 if rows == 65536 else 4  # tokens per picture, by the rule that diffusers uses
        _compare(parts[_PROJECTION],
                 {"proj.weight": (words * wide, self.expected_features(parts)), "proj.bias": (words * wide,),
                                      "norm.weight": (wide,), "norm.bias": (wide,)})

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = model.base.encode_image(picture, model.device.torch, 1)[None]
        return embeddings, torch.zeros_like(embeddings)

    def arguments(self, embeddings: torch.Tensor, empty: torch.Tensor, guided: bool) -> dict[str, Any]:
        """Return the arguments of a pipeline's call.

        They are never doubled, because the model takes its guidance as an input. Without the second argument, the
        pipeline would encode an empty image at each call.
        """
        return {"ip_adapter_image_embeds": [embeddings], "negative_ip_adapter_image_embeds": [empty]}


class SD3Adapter(UNetAdapter):
    """The layout for SD 3.5, as InstantX publishes them.

    The picture, projected again for each step's noise level, joins the attention of every block.
    """

    encoder = SiglipVisionModel
    family = "siglip"

    def check(self, denoiser: Any, parts: Mapping[str, Tensors]) -> None:
        from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0

        config, projection = denoiser.config, parts[_PROJECTION]
        inner = config.attention_head_dim * config.num_attention_heads
        times = projection["time_embedding.linear_2.weight"].shape[0]
        with torch.device("meta"):
            layer = SD3IPAdapterJointAttnProcessor2_0(inner, inner, config.attention_head_dim, times)
        shapes = {name: tuple(weight.shape) for name, weight in layer.state_dict().items()}
        _compare(parts[_ATTENTION], _numbered(shapes, len(denoiser.attn_processors)))
        _compare({"proj_out.weight": projection["proj_out.weight"]}, {"proj_out.weight": (inner, times)})

    def expected_features(self, parts: Mapping[str, Tensors]) -> int | None:
        return parts[_PROJECTION]["proj_in.weight"].shape[1]

    def features_of(self, encoder: Any) -> int:
        return encoder.config.hidden_size

    def processor(self, encoder: Any) -> Any:
        from transformers import SiglipImageProcessorPil

        side = encoder.config.image_size
        return SiglipImageProcessorPil(size={"height": side, "width": side})

    def read(self, model: Model, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings = model.base.encode_image(picture, model.device.torch)
        return embeddings, torch.zeros_like(embeddings)

    def arguments(self, embeddings: torch.Tensor, empty: torch.Tensor, guided: bool) -> dict[str, Any]:
        return {"ip_adapter_image_embeds": torch.cat([empty, embeddings]) if guided else embeddings}


_LAYOUTS = {"FluxTransformer2DModel": FluxAdapter(), "SD3Transformer2DModel": SD3Adapter()}
_UNET = UNetAdapter()


def layout_of(model: Model) -> UNetAdapter:
    """Return the layout of adapters for `model`, whose family must take some."""
    return _LAYOUTS.get(type(model.denoiser).__name__, _UNET)


def added_to(model: Model) -> list[torch.nn.Module]:
    """Return the parts of the denoiser that an adapter has added; empty if no adapter is loaded."""
    denoiser = model.denoiser
    processors = [part for part in getattr(denoiser, "attn_processors", {}).values()
                  if "IPAdapter" in type(part).__name__]
    projections = [getattr(denoiser, name, None) for name in ("encoder_hid_proj", "image_proj")]
    return [part for part in (*processors, *projections) if isinstance(part, torch.nn.Module)]


def _numbered(layer: Mapping[str, tuple[int, ...]], count: int) -> dict[str, tuple[int, ...]]:
    return {f"{number}.{name}": shape for number in range(count) for name, shape in layer.items()}


def _compare(tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int | None, ...]]) -> None:
    """Raise ValueError if names or shapes differ from those wanted."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(name for name in {*shapes, *wanted} if shapes.get(name) != wanted.get(name))
    if wrong:
        raise ValueError(f"{wrong[0]} is {shapes.get(wrong[0])} for {wanted.get(wrong[0])}; {len(wrong)} tensors "
                         "differ")
