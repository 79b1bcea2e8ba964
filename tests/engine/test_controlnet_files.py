"""ControlNets in one file, in every layout: the same pictures as from their folder."""
from __future__ import annotations

from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.core.parts import Control
from blender_sd.engine.conditioning import controlnet_files
from blender_sd.engine.models.lora_layouts import other_names
from blender_sd.library.controlnets import find_controlnets, resolve_controlnet
from blender_sd.protocol.messages import Failed, Finished, Source
from tests.support import tiny_controlnets
from tests.support.engine import small

pytestmark = pytest.mark.slow


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


def painted(run, model, net, kind="depth", **settings):
    picture = Source(pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8))
    return run(small(model, controls=(Control(kind, str(net)),), **settings), inputs={"control0": picture})


def ldm(net):
    """A ControlNet's weights under the names of Zhang et al."""
    state = net.state_dict()
    layers = [name for name, layer in net.named_modules() if getattr(layer, "weight", None) is not None]
    net.up_blocks = torch.nn.ModuleList()
    names = {ours[0]: name for name, ours, _ in other_names(net, layers) if ".processor." not in name}
    last = len(net.controlnet_cond_embedding.blocks)
    names |= {"controlnet_cond_embedding.conv_in": "input_hint_block.0", "controlnet_mid_block": "middle_block_out.0",
              "controlnet_cond_embedding.conv_out": f"input_hint_block.{2 * last + 2}"}
    names |= {
        f"controlnet_cond_embedding.blocks.{number}": f"input_hint_block.{2 * number + 2}" for number in range(last)}
    names |= {
        f"controlnet_down_blocks.{number}": f"zero_convs.{number}.0"
        for number in range(len(net.controlnet_down_blocks))}
    return {
        f"{names[layer]}.{end}": value.contiguous() for name, value in state.items()
        for layer, _, end in [name.rpartition(".")]}


@pytest.mark.parametrize(("family", "kind"), [
    ("sd", "plain"), ("sdxl", "plain"), ("sdxl", "union"), ("flux", "flux"), ("flux", "flux_union"), ("sd3", "sd3"),
    ("qwen_image", "qwen"), ("z_image", "z_image"), ("z_image", "z_image_2"), ("z_image", "z_image_21"),
    ("sana", "sana")])
def test_a_file_with_diffusers_names(run, families, tmp_path, family, kind):
    model = families(family)
    folder = tiny_controlnets.build(kind, model, tmp_path / "net")
    file = tmp_path / "models" / "ControlNet" / "my [net] (v2)__x.safetensors"
    file.parent.mkdir(parents=True)
    (folder / "diffusion_pytorch_model.safetensors").rename(file)
    save_file(load_file(file), folder / "diffusion_pytorch_model.safetensors")
    assert file.stem in [net.name for net in find_controlnets([str(tmp_path / "models")])]
    assert resolve_controlnet(file.stem, [str(tmp_path / "models")]).id == str(file)
    settings = {} if family in ("sd", "sdxl") else {"sampler": "euler", "steps": 2}
    one, two = (made(painted(run, model, place, **settings)).astype(int) for place in (file, folder))
    assert np.abs(one - two).max() <= 1, "kernels round by where the weights lie in memory"
    assert np.abs(one - made(run(small(model, **settings)))).max() > 1, "it has an effect"


@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_a_file_with_the_original_names(run, sd, tmp_path, monkeypatch, prefix):
    folder = tiny_controlnets.build("plain", sd, tmp_path / "net")
    net = diffusers.ControlNetModel.from_pretrained(folder)
    last = 2 * len(net.controlnet_cond_embedding.blocks) + 2
    layers = controlnet_files.single_file_utils.DIFFUSERS_TO_LDM_MAPPING["controlnet"]["layers"]
    for end in ("weight", "bias"):  # the real nets' depth is written into diffusers' table
        monkeypatch.setitem(layers, f"controlnet_cond_embedding.conv_out.{end}", f"input_hint_block.{last}.{end}")
    save_file({prefix + name: value for name, value in ldm(net).items()}, tmp_path / "control.safetensors")
    assert np.array_equal(made(painted(run, sd, tmp_path / "control.safetensors")), made(painted(run, sd, folder)))


def test_a_control_lora_changes_the_models_own_encoder(run, sd, tmp_path, monkeypatch):
    folder = tiny_controlnets.build("plain", sd, tmp_path / "net")
    net = diffusers.ControlNetModel.from_pretrained(folder)
    unet = diffusers.UNet2DConditionModel.from_pretrained(sd, subfolder="unet")
    last = 2 * len(net.controlnet_cond_embedding.blocks) + 2
    layers = controlnet_files.single_file_utils.DIFFUSERS_TO_LDM_MAPPING["controlnet"]["layers"]
    for end in ("weight", "bias"):
        monkeypatch.setitem(layers, f"controlnet_cond_embedding.conv_out.{end}", f"input_hint_block.{last}.{end}")
    net.load_state_dict({name: value for name, value in unet.state_dict().items() if name in net.state_dict()},
                        strict=False)
    generator, tensors = torch.Generator().manual_seed(0), {"lora_controlnet": torch.zeros(1)}
    for name, value in ldm(diffusers.ControlNetModel.from_config(net.config)).items():
        if name.startswith(("input_hint_block", "zero_convs", "middle_block_out")):
            tensors[name] = torch.randn(value.shape, generator=generator) * 0.1
        elif name.endswith("attn1.to_q.weight"):
            tensors[name.replace(".weight", ".up")] = torch.randn(value.shape[0], 2, generator=generator)
            tensors[name.replace(".weight", ".down")] = torch.randn(2, value.shape[1], generator=generator)
    whole = ldm(net) | {name: value for name, value in tensors.items() if name.endswith(("weight", "bias"))}
    for name in [name for name in tensors if name.endswith(".up")]:
        stem = name.removesuffix(".up")
        whole[f"{stem}.weight"] = whole[f"{stem}.weight"] + tensors[name] @ tensors[f"{stem}.down"]
    save_file(tensors, tmp_path / "lora.safetensors")
    save_file(whole, tmp_path / "whole.safetensors")
    one, two = (made(painted(run, sd, tmp_path / f"{name}.safetensors")) for name in ("lora", "whole"))
    assert np.abs(one.astype(int) - two).max() <= 1


@pytest.mark.parametrize("what", ["another family's", "a part missing", "truncated", "none"])
def test_what_does_not_fit_is_refused_in_words(run, sd, sdxl, tmp_path, what):
    folder = tiny_controlnets.build("plain", sdxl if what == "another family's" else sd, tmp_path / "net")
    file = tmp_path / "x.safetensors"
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    if what == "a part missing":
        del weights["controlnet_mid_block.weight"]
    save_file({"weight": torch.zeros(1)} if what == "none" else weights, file)
    if what == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    ending = painted(run, sd, file)[-1]
    assert isinstance(ending, Failed) and ending.kind in ("invalid_request", "model_unreadable"), ending
    words = {
        "another family's": "made for SDXL", "a part missing": "controlnet_mid_block.weight", "truncated": "broken",
        "none": "no ControlNet"}
    assert words[what] in ending.message
    assert Path(file).exists() and isinstance(run(small(sd))[-1], Finished)
