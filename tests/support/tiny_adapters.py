"""Tiny IP-Adapters with random weights, in the layouts of the published ones, and the image encoders that they read
by."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

Made = tuple[dict[str, torch.Tensor], Callable[[int], torch.nn.Module]]
FEATURES = 24  # of the image encoders
_SIDES = {"image_size": 32, "patch_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
# Of SD 3.5's, what diffusers calls a projection's layers and what InstantX's file calls them.
_NAMES = ((".ln0", ".0.norm1"), (".ln1", ".0.norm2"), (".attn.to_out.0", ".0.to_out"), (".attn.", ".0."),
          (".adaln_norm", ".1.0"), (".ff.net.0.proj", ".1.1"), (".ff.net.2", ".1.3"), (".adaln_proj", ".2.1"))


def adapter(model: str, folder: Path, seed: int = 0, encoder: bool = True, features: int = FEATURES) -> str:
    """An IP-Adapter with an effect for the model in the folder `model`, and beside it the image encoder, which gives
    `features`; its file."""
    kind = next(kind for part, kind in (("unet", _unet), ("transformer", _transformer)) if Path(model, part).is_dir())
    torch.manual_seed(seed)
    tensors, net = kind(model)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "adapter.safetensors")
    if encoder:
        net(features).save_pretrained(folder / "image_encoder")
    return str(folder / "adapter.safetensors")


def _unet(model: str) -> Made:
    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    wide = unet.config.cross_attention_dim
    tensors = {f"image_proj.{name}": tensor for name, tensor in _projection(wide).items()}
    layers = [name.removesuffix(".processor") for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        out = unet.get_submodule(name).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(out, wide)
    return tensors, clip_vision


def _transformer(model: str) -> Made:
    made = {"FluxTransformer2DModel": _flux, "SD3Transformer2DModel": _sd3}
    return made[FluxTransformer2DModel.load_config(model, subfolder="transformer")["_class_name"]](model)


def _flux(model: str) -> Made:
    transformer = FluxTransformer2DModel.from_pretrained(model, subfolder="transformer")
    wide, inner = transformer.config.joint_attention_dim, transformer.inner_dim
    tensors = {f"ip_adapter_proj_model.{name}": tensor for name, tensor in _projection(wide).items()}
    for number in range(transformer.config.num_layers):
        for way in "kv":
            name = f"double_blocks.{number}.processor.ip_adapter_double_stream_{way}_proj"
            tensors |= {f"{name}.weight": torch.randn(inner, wide), f"{name}.bias": torch.randn(inner)}
    return tensors, clip_vision


def _sd3(model: str) -> Made:
    transformer = SD3Transformer2DModel.from_pretrained(model, subfolder="transformer")
    inner, times = transformer.inner_dim, 16
    projection = IPAdapterTimeImageProjection(FEATURES, inner, hidden_dim=times, heads=1, num_queries=3,
                                              timestep_in_dim=8)
    tensors = {}
    for name, tensor in projection.state_dict().items():
        for ours, theirs in _NAMES if name.startswith("layers.") else ():
            name = name.replace(ours, theirs)
        tensors[f"image_proj.{name}"] = tensor
    for number in range(len(transformer.attn_processors)):
        layer = SD3IPAdapterJointAttnProcessor2_0(inner, inner, transformer.config.attention_head_dim, times)
        tensors |= {f"ip_adapter.{number}.{name}": 3 * torch.randn_like(tensor) if name.startswith("to_") else tensor
                    for name, tensor in layer.state_dict().items()}
    return tensors, siglip_vision


def _projection(wide: int) -> dict[str, torch.Tensor]:
    return {
        "proj.weight": torch.randn(4 * wide, FEATURES), "proj.bias": torch.zeros(4 * wide),
        "norm.weight": torch.ones(wide), "norm.bias": torch.zeros(wide)}


def clip_vision(features: int) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=16, projection_dim=features, **_SIDES))


def siglip_vision(features: int) -> SiglipVisionModel:
    return SiglipVisionModel(SiglipVisionConfig(hidden_size=features, **_SIDES))
