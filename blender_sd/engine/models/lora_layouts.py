"""The names of each family's layers in layouts other than diffusers': the original checkpoints', and some trainers'.

One row says which layers of diffusers one layer of the other layout is: several where that has query, key and value in
one matrix, whose rows they share in this order. "#" stands for a block's number.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One layer in two layouts.

    Attributes:
        ours: The names in diffusers.
        other: The name elsewhere.
        swapped: Whether its two halves, scale and shift, change places.
        last: Whether it exists only in the last block.
    """

    ours: tuple[str, ...]
    other: str
    swapped: bool = False
    last: bool = False


def _rows(ours: str, other: str, *pairs: tuple[str, str]) -> tuple[Row, ...]:
    return tuple(Row(tuple(f"{ours}{name}" for name in left.split()), f"{other}{right}") for left, right in pairs)


_FINAL = Row(("norm_out.linear",), "final_layer.adaLN_modulation.1", swapped=True)
_QKV, _ADDED = "attn.to_q attn.to_k attn.to_v", "attn.add_q_proj attn.add_k_proj attn.add_v_proj"

FLUX = (
    *_rows("", "", ("x_embedder", "img_in"), ("context_embedder", "txt_in"), ("proj_out", "final_layer.linear")),
        _FINAL,
    *_rows("time_text_embed.", "", ("timestep_embedder.linear_1", "time_in.in_layer"),
           ("timestep_embedder.linear_2", "time_in.out_layer"),
           ("text_embedder.linear_1", "vector_in.in_layer"), ("text_embedder.linear_2", "vector_in.out_layer"),
           ("guidance_embedder.linear_1", "guidance_in.in_layer"),
           ("guidance_embedder.linear_2", "guidance_in.out_layer")),
    *_rows("transformer_blocks.#.", "double_blocks.#.", (_QKV, "img_attn.qkv"), (_ADDED, "txt_attn.qkv"),
           ("attn.to_out.0", "img_attn.proj"), ("attn.to_add_out", "txt_attn.proj"), ("norm1.linear", "img_mod.lin"),
           ("norm1_context.linear", "txt_mod.lin"), ("ff.net.0.proj", "img_mlp.0"), ("ff.net.2", "img_mlp.2"),
           ("ff_context.net.0.proj", "txt_mlp.0"), ("ff_context.net.2", "txt_mlp.2"),
           ("attn.norm_q", "img_attn.norm.query_norm"), ("attn.norm_k", "img_attn.norm.key_norm"),
           ("attn.norm_added_q", "txt_attn.norm.query_norm"), ("attn.norm_added_k", "txt_attn.norm.key_norm"),
           (_QKV, "processor.qkv_lora1"), (_ADDED, "processor.qkv_lora2"),  # XLabs
           ("attn.to_out.0", "processor.proj_lora1"), ("attn.to_add_out", "processor.proj_lora2")),
    *_rows("single_transformer_blocks.#.", "single_blocks.#.", (f"{_QKV} proj_mlp", "linear1"), ("proj_out", "linear2"),
           ("norm.linear", "modulation.lin"), ("attn.norm_q", "norm.query_norm"), ("attn.norm_k", "norm.key_norm"),
           (_QKV, "processor.qkv_lora"), ("proj_out", "processor.proj_lora")),
)
FLUX2 = (
    *_rows("", "", ("x_embedder", "img_in"), ("context_embedder", "txt_in"), ("proj_out", "final_layer.linear"),
           ("double_stream_modulation_img.linear", "double_stream_modulation_img.lin"),
           ("double_stream_modulation_txt.linear", "double_stream_modulation_txt.lin"),
           ("single_stream_modulation.linear", "single_stream_modulation.lin")), _FINAL,
    *_rows("time_guidance_embed.", "", ("timestep_embedder.linear_1", "time_in.in_layer"),
           ("timestep_embedder.linear_2", "time_in.out_layer"), ("guidance_embedder.linear_1", "guidance_in.in_layer"),
           ("guidance_embedder.linear_2", "guidance_in.out_layer")),
    *_rows("transformer_blocks.#.", "double_blocks.#.", (_QKV, "img_attn.qkv"), (_ADDED, "txt_attn.qkv"),
           ("attn.to_out.0", "img_attn.proj"), ("attn.to_add_out", "txt_attn.proj"), ("ff.linear_in", "img_mlp.0"),
           ("ff.linear_out", "img_mlp.2"), ("ff_context.linear_in", "txt_mlp.0"),
           ("ff_context.linear_out", "txt_mlp.2"),
           ("attn.norm_q", "img_attn.norm.query_norm"), ("attn.norm_k", "img_attn.norm.key_norm"),
           ("attn.norm_added_q", "txt_attn.norm.query_norm"), ("attn.norm_added_k", "txt_attn.norm.key_norm")),
    *_rows("single_transformer_blocks.#.", "single_blocks.#.", ("attn.to_qkv_mlp_proj", "linear1"),
           ("attn.to_out", "linear2"),
           ("attn.norm_q", "norm.query_norm"), ("attn.norm_k", "norm.key_norm")),
)
SD3 = (
    *_rows("", "", ("pos_embed.proj", "x_embedder.proj"), ("proj_out", "final_layer.linear")), _FINAL,
    *_rows("time_text_embed.", "", ("timestep_embedder.linear_1", "t_embedder.mlp.0"),
           ("timestep_embedder.linear_2", "t_embedder.mlp.2"),
           ("text_embedder.linear_1", "y_embedder.mlp.0"), ("text_embedder.linear_2", "y_embedder.mlp.2")),
    Row(("transformer_blocks.#.norm1_context.linear",), "joint_blocks.#.context_block.adaLN_modulation.1", swapped=True,
        last=True),
    *_rows("transformer_blocks.#.", "joint_blocks.#.", (_QKV, "x_block.attn.qkv"), (_ADDED, "context_block.attn.qkv"),
           ("attn2.to_q attn2.to_k attn2.to_v", "x_block.attn2.qkv"), ("attn.to_out.0", "x_block.attn.proj"),
           ("attn2.to_out.0", "x_block.attn2.proj"), ("attn.to_add_out", "context_block.attn.proj"),
           ("norm1.linear", "x_block.adaLN_modulation.1"), ("norm1_context.linear", "context_block.adaLN_modulation.1"),
           ("ff.net.0.proj", "x_block.mlp.fc1"), ("ff.net.2", "x_block.mlp.fc2"),
           ("ff_context.net.0.proj", "context_block.mlp.fc1"),
           ("ff_context.net.2", "context_block.mlp.fc2"), ("attn.norm_q", "x_block.attn.ln_q"),
           ("attn.norm_k", "x_block.attn.ln_k"),
           ("attn.norm_added_q", "context_block.attn.ln_q"), ("attn.norm_added_k", "context_block.attn.ln_k"),
           ("attn2.norm_q", "x_block.attn2.ln_q"), ("attn2.norm_k", "x_block.attn2.ln_k")),
)
Z_IMAGE = tuple(
    row for blocks in ("layers", "context_refiner", "noise_refiner") for row in _rows(
        f"{blocks}.#.attention.", f"{blocks}.#.attention.", ("to_q to_k to_v", "qkv"), ("to_out.0", "out"),
                                                                                      ("norm_q", "q_norm"),
        ("norm_k", "k_norm"))) + _rows("", "", ("all_x_embedder.2-1", "x_embedder"),
                                       ("all_final_layer.2-1.linear", "final_layer.linear"),
                                       ("all_final_layer.2-1.adaLN_modulation.1", "final_layer.adaLN_modulation.1"))
LAYOUTS: Mapping[str, tuple[Row, ...]] = {
    "FluxTransformer2DModel": FLUX, "Flux2Transformer2DModel": FLUX2, "SD3Transformer2DModel": SD3,
                                          "ZImageTransformer2DModel": Z_IMAGE}

# Inside a UNet's block, in the names of Stability's own checkpoints.
_RESNET = (("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
           ("norm2", "out_layers.0"),
           ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"))
_OUTER = (("conv_in", "input_blocks.0.0"), ("time_embedding.linear_1", "time_embed.0"),
          ("time_embedding.linear_2", "time_embed.2"),
          ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
          ("conv_norm_out", "out.0"),
          ("conv_out", "out.2"))


def other_names(net: Any, layers: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield every other name of the `layers` of `net`: name, the layers that it stands for, whether their halves are
    swapped.
    """
    if hasattr(net, "down_blocks") and hasattr(net, "up_blocks"):
        yield from _unet_names(net, layers)
        return
    rows, known = LAYOUTS.get(type(net).__name__, ()), set(layers)
    given: set[str] = set()
    blocks = [match[1] for name in known if (match := re.match(r"transformer_blocks\.(\d+)\.", name))]
    last = max(map(int, blocks), default=-1)
    for row in rows:
        numbers = _numbers(row.ours[0], known) if "#" in row.ours[0] else [""]
        for number in numbers:
            ours, other = tuple(name.replace("#", number) for name in row.ours), row.other.replace("#", number)
            if other not in given and all(name in known for name in ours) and (not row.last or int(number) == last):
                given.add(other)
                yield other, ours, row.swapped


def _numbers(name: str, known: set[str]) -> list[str]:
    pattern = re.compile(re.escape(name).replace(r"\#", r"(\d+)"))
    return [match[1] for name in known if (match := pattern.fullmatch(name))]


def _unet_names(net: Any, layers: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield the names of Stability's checkpoints, where blocks are numbered throughout, and those of diffusers' first
    LoRAs.
    """
    places = _unet_places(net)
    for layer in layers:
        for start, other in places:
            if layer == start or layer.startswith(f"{start}."):
                rest = layer[len(start):]
                if ".resnets." in start:
                    rest = next((f".{new}" for old, new in _RESNET if rest == f".{old}"), rest)
                yield f"{other}{rest}", (layer,), False
                break
        head, _, end = layer.removesuffix(".0").rpartition(".")
        if end.startswith("to_"):
            yield f"{head}.processor.{end}_lora", (layer,), False


def _unet_places(net: Any) -> list[tuple[str, str]]:
    """Return where diffusers' blocks are among the numbered ones, more exact names first."""
    places = list(_OUTER)
    at = 1
    for level, block in enumerate(net.down_blocks):
        for number in range(len(block.resnets)):
            places += [(f"down_blocks.{level}.resnets.{number}", f"input_blocks.{at}.0"),
                       (f"down_blocks.{level}.attentions.{number}", f"input_blocks.{at}.1")]
            at += 1
        if getattr(block, "downsamplers", None):
            places.append((f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{at}.0.op"))
            at += 1
    places += [("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"),
               ("mid_block.resnets.1", "middle_block.2")]
    at = 0
    for level, block in enumerate(net.up_blocks):
        attends = bool(getattr(block, "attentions", None))
        for number in range(len(block.resnets)):
            places += [(f"up_blocks.{level}.resnets.{number}", f"output_blocks.{at}.0"),
                       (f"up_blocks.{level}.attentions.{number}", f"output_blocks.{at}.1")]
            at += 1
        if getattr(block, "upsamplers", None):
            places.append((f"up_blocks.{level}.upsamplers.0.conv",
                           f"output_blocks.{at - 1}.{2 if attends else 1}.conv"))
    return places
