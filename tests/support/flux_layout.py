"""A Flux.1 transformer in the layout of Black Forest Labs' own files: what diffusers' converter does, undone."""
from __future__ import annotations

from collections.abc import Mapping

import torch

_OUTER = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer", "context_embedder": "txt_in",
    "x_embedder": "img_in", "proj_out": "final_layer.linear"}
_BLOCK = {
    "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2", "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2",
    "attn.to_out.0": "img_attn.proj", "attn.to_add_out": "txt_attn.proj"}
_NORMS = {"attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
          "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm"}
_FUSED = {"img_attn.qkv": ("to_q", "to_k", "to_v"), "txt_attn.qkv": ("add_q_proj", "add_k_proj", "add_v_proj")}


def original(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of a `FluxTransformer2DModel` under its original names."""
    found = {}
    for ending in ("weight", "bias"):
        found |= {
            f"{new}.{ending}": weights[f"{old}.{ending}"] for old, new in _OUTER.items()
            if f"{old}.{ending}" in weights}
        scale, shift = weights[f"norm_out.linear.{ending}"].chunk(2)
        found[f"final_layer.adaLN_modulation.1.{ending}"] = torch.cat([shift, scale])
    for old in {name.rsplit(".", name.count(".") - 1)[0] for name in weights if name.startswith("transformer_blocks.")}:
        new = old.replace("transformer_blocks", "double_blocks")
        for ending in ("weight", "bias"):
            found |= {f"{new}.{there}.{ending}": weights[f"{old}.{here}.{ending}"] for here, there in _BLOCK.items()}
            found |= {f"{new}.{there}.{ending}": torch.cat([weights[f"{old}.attn.{part}.{ending}"] for part in parts])
                      for there, parts in _FUSED.items()}
        found |= {f"{new}.{there}.scale": weights[f"{old}.{here}.weight"] for here, there in _NORMS.items()}
    for old in {
            name.rsplit(".",
                        name.count(".") - 1)[0] for name in weights if name.startswith("single_transformer_blocks.")}:
        new = old.replace("single_transformer_blocks", "single_blocks")
        for ending in ("weight", "bias"):
            parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
            found[f"{new}.linear1.{ending}"] = torch.cat([weights[f"{old}.{part}.{ending}"] for part in parts])
            found |= {f"{new}.{there}.{ending}": weights[f"{old}.{here}.{ending}"]
                      for here, there in (("norm.linear", "modulation.lin"), ("proj_out", "linear2"))}
        found |= {
            f"{new}.norm.{word}_norm.scale": weights[f"{old}.attn.norm_{word[0]}.weight"] for word in ("query", "key")}
    return found
