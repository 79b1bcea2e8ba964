"""The names that other layouts give to layers: the tables say the same as diffusers' own converters of checkpoints."""
from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils

from blender_sd.engine.models.lora_keys import Table
from blender_sd.engine.models.lora_layouts import other_names
from blender_sd.core.lora_names import family_hint, foreign_kind, is_lora, split
from tests.support import ldm_layout

CONVERTERS = {"flux": single_file_utils.convert_flux_transformer_checkpoint_to_diffusers,
              "flux2_klein": single_file_utils.convert_flux2_transformer_checkpoint_to_diffusers,
              "sd3": single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers,
              "z_image": single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers}
SIZED = {"flux": {3072: 32}}  # the real model's width is written into the converter


def denoiser(folder):
    index = diffusers.DiffusionPipeline.load_config(folder)
    part = "unet" if "unet" in index else "transformer"
    return getattr(diffusers, index[part][1]).from_pretrained(folder, subfolder=part)


def original(net, rest):
    """The net's weights in the layout that the table describes; `rest`: what is called otherwise there without being a
    layer."""
    state = net.state_dict()
    layers = [name for name, layer in net.named_modules() if getattr(layer, "weight", None) is not None]
    found, covered = {}, set()
    for other, ours, swapped in other_names(net, layers):
        covered |= set(ours)
        for end in ("weight", "bias"):
            if f"{ours[0]}.{end}" in state and "processor." not in other:  # those are of LoRAs alone
                value = torch.cat([state[f"{name}.{end}"] for name in ours])
                norm = other.endswith(("query_norm", "key_norm"))
                found[f"{other}.{'scale' if norm else end}"] = torch.cat(value.chunk(2)[::-1]) if swapped else value
    return found | {rest.get(key, key): value for key, value in state.items() if key.rpartition(".")[0] not in covered}


@pytest.mark.parametrize("name", list(CONVERTERS))
def test_a_familys_table_is_what_diffusers_converter_does(families, name):
    net, code = denoiser(families(name)), CONVERTERS[name].__code__
    code = code.replace(co_consts=tuple(SIZED.get(name, {}).get(value, value) for value in code.co_consts))
    found = original(net, {"pos_embed.pos_embed": "pos_embed"} if name == "sd3" else {})
    converted = type(CONVERTERS[name])(code, CONVERTERS[name].__globals__)({
        key: value.clone() for key, value in found.items()})
    state = net.state_dict()
    assert converted.keys() >= state.keys() and all(torch.equal(converted[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_unets_blocks_are_counted_as_stabilitys_checkpoints_do(families, name):
    net = denoiser(families(name))
    table, ours = Table({"unet": net}), {id(value): key for key, value in net.state_dict(keep_vars=True).items()}
    old = ldm_layout.unet(
        type("Net", (), {
            "config": net.config, "up_blocks": net.up_blocks, "state_dict": lambda self: net.state_dict(keep_vars=True)
        })())
    for key, value in old.items():
        for start in ("lora_unet_", "diffusion_model.", "lora_unet."):
            layer = key.rpartition(".")[0]
            place = table.find(start + (layer.replace(".", "_") if start.endswith("_") else layer))
            assert place is not None and place.layers == (ours[id(value)].rpartition(".")[0],), key


@pytest.mark.parametrize(("name", "layer", "role"), [
    ("lora_unet_mid_block.lora_down.weight", "lora_unet_mid_block", "down"), ("a.b.lora_A.weight", "a.b", "down"),
    ("a.b.lora_A.default.weight", "a.b", "down"), ("a.b.lora_B.my_style.weight", "a.b", "up"), ("a.lora_B.bias", "a", "up_bias"),  # noqa: E501
    ("a.to_q.lora.up.weight", "a.to_q", "up"), ("a.processor.to_q_lora.down.weight", "a.processor.to_q_lora", "down"),
    ("double_blocks.0.processor.qkv_lora1.up.weight", "double_blocks.0.processor.qkv_lora1", "up"),
    ("te.q_proj.lora_linear_layer.down.weight", "te.q_proj", "down"), ("a.alpha", "a", "alpha"), ("a.dora_scale", "a", "dora_scale"),  # noqa: E501
    ("a.lora_magnitude_vector", "a", "magnitude"), ("a.lora_magnitude_vector.default.weight", "a", "magnitude"),
    ("a.hada_w1_a", "a", "hada_w1_a"), ("a.lokr_t2", "a", "lokr_t2"), ("a.diff", "a", "diff"), ("a.diff_b", "a", "diff_b"),  # noqa: E501
    ("a.w_norm", "a", "w_norm"), ("a.lora_mid.weight", "a", "mid"),
])
def test_a_name_is_a_layer_and_a_role(name, layer, role):
    assert split(name) == (layer, role)


@pytest.mark.parametrize(("names", "yes"), [
    (["a.lora_down.weight"], True), (["a.hada_w1_a"], True), (["a.lokr_w1"], True), (["a.diff", "a.diff_b"], True), (["a.w_norm"], True),  # noqa: E501
    (["a.oft_blocks"], True), (["model.diffusion_model.out.0.weight"], False), (["a.weight", "b.alpha"], False), ([], False)])  # noqa: E501
def test_a_lora_is_known_by_its_names(names, yes):
    assert is_lora(names) == yes and foreign_kind(names) == ("OFT" if names == ["a.oft_blocks"] else "")


@pytest.mark.parametrize(("name", "shape", "family"), [
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", (4, 768), "SD 1.5"),
    ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", (4, 2048), "SDXL"),
    ("lora_unet_double_blocks_0_img_attn_qkv", (4, 3072), "Flux.1 or Flux.2"), ("lora_unet_double_blocks_0_img_mod_lin", (), "Flux.1"),  # noqa: E501
    ("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", (), "Flux.2"),
    ("transformer_blocks.0.img_mlp.net.0.proj", (), "Qwen-Image"),
    ("diffusion_model.layers.0.attention.qkv", (), "Z-Image"), ("lora_unet_joint_blocks_0_x_block_attn_qkv", (), "SD 3.5"),  # noqa: E501
    ("diffusion_model.blocks.0.self_attn.q", (), "Wan"), ("mid_block.conv1", (), "")])
def test_the_family_that_a_lora_was_made_for_is_recognised_by_its_layers(name, shape, family):
    assert family_hint({name: shape}) == family
