"""Writes a small model into one file with the names of Stability's own checkpoints, which diffusers reads but does not
write."""
from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
           "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def write(pipe, file: str | Path, **extra: torch.Tensor) -> Path:
    """The SD 1.5-, SD 2- or SDXL-like pipeline `pipe` as one safetensors file."""
    tensors = {f"model.diffusion_model.{name}": value for name, value in unet(pipe.unet).items()}
    tensors |= {f"first_stage_model.{name}": value for name, value in vae(pipe.vae).items()}
    clip = {
        f"text_model.{name.removeprefix('text_model.')}": value
        for name, value in pipe.text_encoder.state_dict().items()}
    if hasattr(pipe, "text_encoder_2"):
        tensors |= {f"conditioner.embedders.0.transformer.{name}": value for name, value in clip.items()}
        tensors |= {
            f"conditioner.embedders.1.model.{name}": value for name, value in open_clip(pipe.text_encoder_2).items()}
    elif pipe.unet.config.cross_attention_dim == 1024:
        tensors |= {f"cond_stage_model.model.{name}": value for name, value in open_clip(pipe.text_encoder).items()}
    else:
        tensors |= {f"cond_stage_model.transformer.{name}": value for name, value in clip.items()}
    save_file({name: value.contiguous().clone() for name, value in {**tensors, **extra}.items()}, file)
    return Path(file)


def unet(net) -> dict[str, torch.Tensor]:
    """The UNet's weights under their old names."""
    layers, levels = net.config.layers_per_block, len(net.config.block_out_channels)
    places = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0", "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2"}
    for level in range(levels):
        for layer in range(layers):
            at = 1 + level * (layers + 1) + layer
            places |= {f"down_blocks.{level}.resnets.{layer}": f"input_blocks.{at}.0",
                       f"down_blocks.{level}.attentions.{layer}": f"input_blocks.{at}.1"}
        places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{(level + 1) * (layers + 1)}.0.op"
        for layer in range(layers + 1):
            at = level * (layers + 1) + layer
            places |= {f"up_blocks.{level}.resnets.{layer}": f"output_blocks.{at}.0",
                       f"up_blocks.{level}.attentions.{layer}": f"output_blocks.{at}.1"}
        attends = getattr(net.up_blocks[level], "has_cross_attention", False)
        places[
            f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{level * (layers + 1) + layers}.{2 if attends else 1}.conv"  # noqa: E501
    return _renamed(net.state_dict(), places, _RESNET)


def vae(net) -> dict[str, torch.Tensor]:
    """The VAE's weights under their old names."""
    levels = len(net.config.block_out_channels)
    places = {}
    for side in ("encoder", "decoder"):
        places |= {f"{side}.conv_in": f"{side}.conv_in", f"{side}.conv_out": f"{side}.conv_out",
                   f"{side}.conv_norm_out": f"{side}.norm_out", f"{side}.mid_block.resnets.0": f"{side}.mid.block_1",
                   f"{side}.mid_block.resnets.1": f"{side}.mid.block_2",
                   f"{side}.mid_block.attentions.0": f"{side}.mid.attn_1"}
    for level in range(levels):
        for layer in range(net.config.layers_per_block + 1):
            places |= {f"encoder.down_blocks.{level}.resnets.{layer}": f"encoder.down.{level}.block.{layer}",
                       f"decoder.up_blocks.{level}.resnets.{layer}": f"decoder.up.{levels - 1 - level}.block.{layer}"}
        places |= {f"encoder.down_blocks.{level}.downsamplers.0.conv": f"encoder.down.{level}.downsample.conv",
                   f"decoder.up_blocks.{level}.upsamplers.0.conv": f"decoder.up.{levels - 1 - level}.upsample.conv"}
    places |= {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    inside = {
        "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
        "conv_shortcut": "nin_shortcut"}
    found = _renamed(net.state_dict(), places, inside)
    return {
        name: value[..., None, None] if ".attn_1." in name and value.ndim == 2 else value
        for name, value in found.items()}


def open_clip(encoder) -> dict[str, torch.Tensor]:
    """SDXL's second text encoder, or SD 2's, under OpenCLIP's names."""
    weights = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
    found = {"token_embedding.weight": weights["embeddings.token_embedding.weight"],
             "positional_embedding": weights["embeddings.position_embedding.weight"]}
    if "text_projection.weight" in weights:
        found["text_projection"] = weights["text_projection.weight"].T
    for name, value in weights.items():
        if name.startswith("final_layer_norm"):
            found[name.replace("final_layer_norm", "ln_final")] = value
        elif name.startswith("encoder.layers."):
            _, _, layer, rest = name.split(".", 3)
            new = rest
            for old, other in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"),
                               ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj")):
                new = new.replace(old, other)
            if "self_attn" not in new:
                found[f"transformer.resblocks.{layer}.{new}"] = value
    for layer in range(encoder.config.num_hidden_layers):
        for kind in ("weight", "bias"):
            found[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(
                [weights[f"encoder.layers.{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"])
    return found


def _renamed(weights: dict[str, torch.Tensor], places: dict[str, str], inside: dict[str,
                                                                                    str]) -> dict[str, torch.Tensor]:
    found = {}
    for name, value in weights.items():
        start = max((place for place in places if name.startswith(place + ".")), key=len)
        rest = name[len(start) + 1:]
        for old, new in inside.items():
            if rest.startswith(old + "."):
                rest = new + rest[len(old):]
        found[f"{places[start]}.{rest}"] = value
    return found
