"""LoRAs in the names of every trainer, for every family: the same weights as merged by hand, and the same pictures."""
from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from blender_sd.protocol.messages import Failed, Note
from blender_sd.core.parts import Lora
from tests.support.engine import small
from tests.support.compatibility import TRAINERS_OF as FAMILIES
from tests.support.lora_writers import ALPHA, RANK, TRAINERS, Trainer, denoiser, effective, layers_of, low_rank, merged, write  # noqa: E501
from tests.support.lora_weights import agree, made, put_on  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow


def notes(events):
    return [event.text for event in events if isinstance(event, Note) and "LoRA" in event.text]


@pytest.mark.parametrize(("family", "trainer"), [(family, trainer) for family, trainers in FAMILIES.items() for trainer in trainers])  # noqa: E501
def test_every_trainers_names(put_on, families, tmp_path, family, trainer):
    folder, kind = families(family), TRAINERS[trainer]
    tensors, added = low_rank(kind, layers_of(denoiser(folder), kind.original))
    left_out, weights = put_on(folder, write(tensors, tmp_path / "look.safetensors"))
    assert not left_out and added
    agree(weights, folder, added)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_pictures_are_those_of_weights_merged_by_hand(run, families, tmp_path, family):
    folder, kind = families(family), TRAINERS[FAMILIES[family][0]]
    tensors, added = low_rank(kind, layers_of(denoiser(folder), kind.original), size=2.0)
    file = write(tensors, tmp_path / "look.safetensors")
    settings = {"sampler": "euler", "steps": 2, "guidance": 1.0}
    plain, with_it = (made(run(small(folder, loras=used, **settings))) for used in ((), (Lora(file),)))
    assert np.abs(with_it - plain).max() >= 10
    assert np.abs(with_it - made(run(small(merged(folder, added, tmp_path / "merged"), **settings)))).max() <= 1
    assert np.array_equal(plain, made(run(small(folder, **settings))))


def test_xlabs_names_of_flux(put_on, families, tmp_path):
    folder, generator = families("flux"), torch.Generator().manual_seed(0)
    net, tensors, added = denoiser(folder), {}, {}
    places = {
        "double_blocks.0.processor.qkv_lora1": ["attn.to_q", "attn.to_k", "attn.to_v"],
        "double_blocks.0.processor.qkv_lora2": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
        "double_blocks.0.processor.proj_lora1": ["attn.to_out.0"],
        "double_blocks.0.processor.proj_lora2": ["attn.to_add_out"],
        "single_blocks.0.processor.qkv_lora": ["attn.to_q", "attn.to_k",
                                               "attn.to_v"], "single_blocks.0.processor.proj_lora": ["proj_out"]}
    for name, ours in places.items():
        start = "transformer_blocks.0." if "double" in name else "single_transformer_blocks.0."
        weights = [net.get_submodule(start + one).weight for one in ours]
        down = torch.randn(RANK, weights[0].shape[1], generator=generator)
        up = torch.randn(sum(len(weight) for weight in weights), RANK, generator=generator)
        tensors |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
        added |= dict(
            zip([start + one for one in ours], (up @ down).split([len(weight) for weight in weights]), strict=True))
    left_out, weights = put_on(folder, write(tensors, tmp_path / "x.safetensors"))
    assert not left_out
    agree(weights, folder, added)


def test_old_diffusers_names_of_attention_processors(put_on, sd, tmp_path):
    layer, generator = "mid_block.attentions.0.transformer_blocks.0.attn1", torch.Generator().manual_seed(0)
    sides = denoiser(sd).get_submodule(layer).to_q.weight.shape
    tensors, added = {}, {}
    for way, ours in (("to_q", "to_q"), ("to_out", "to_out.0")):
        down, up = torch.randn(RANK, sides[1], generator=generator), torch.randn(sides[0], RANK, generator=generator)
        tensors |= {
            f"unet.{layer}.processor.{way}_lora.down.weight": down, f"unet.{layer}.processor.{way}_lora.up.weight": up}
        added[f"{layer}.{ours}"] = up @ down
    left_out, weights = put_on(sd, write(tensors, tmp_path / "x.safetensors"))
    assert not left_out
    agree(weights, sd, added)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_old_diffusers_names_of_text_encoders(engine, put_on, families, tmp_path, family):
    folder, generator = families(family), torch.Generator().manual_seed(0)
    net, tensors, added = engine._load(folder).base.text_encoder, {}, {}
    before = {name: layer.weight.detach().clone() for name, layer in net.named_modules() if name.endswith(("_proj",))}
    names = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    for layer, weight in before.items():
        head, _, end = layer.rpartition(".")
        down, up = (torch.randn(sides, generator=generator) for sides in ((RANK, weight.shape[1]), (weight.shape[0], RANK)))  # noqa: E501
        name = f"text_encoder.{'' if head.startswith('text_model') else 'text_model.'}{head}.{names[end]}_lora"
        tensors |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
        added[layer] = up @ down
    assert not put_on(folder, write(tensors, tmp_path / "x.safetensors"))[0] and added
    weights = effective(net)
    assert all((weights[name] - weight - added[name]).abs().max() < 1e-3 for name, weight in before.items())


def test_values_that_are_not_numbers_are_named_and_the_model_stays_as_it_was(run, families, tmp_path):
    folder, kind = families("sdxl"), TRAINERS["kohya"]
    tensors, _ = low_rank(kind, layers_of(denoiser(folder), False))
    broken = next(name for name in tensors if name.endswith("lora_up.weight"))
    tensors[broken][0, 0] = float("nan")
    plain = made(run(small(folder)))
    events = run(small(folder, loras=(Lora(write(tensors, tmp_path / "x.safetensors")),)))
    assert isinstance(events[-1], Failed) and "not numbers" in events[-1].message and broken in events[-1].message
    assert events[-1].about == "x" and np.array_equal(plain, made(run(small(folder))))


@pytest.mark.parametrize(("family", "encoder", "start"), [
    ("sd", "text_encoder", "lora_te_text_model_"), ("sd", "text_encoder", "text_encoder.text_model."),
    ("sd", "text_encoder", "text_encoders.clip_l.transformer.text_model."), ("sdxl", "text_encoder", "lora_te1_text_model_"),  # noqa: E501
    ("sdxl", "text_encoder_2", "lora_te2_text_model_"), ("sdxl", "text_encoder_2", "text_encoder_2.text_model."),
    ("sdxl", "text_encoder_2", "text_encoders.clip_g.transformer.text_model."), ("flux", "text_encoder", "lora_te1_text_model_"),  # noqa: E501
    ("flux", "text_encoder_2", "lora_te2_"), ("flux", "text_encoder_2", "lora_te3_"),
    ("flux", "text_encoder_2", "text_encoders.t5xxl.transformer."), ("sd3", "text_encoder_2", "lora_te2_text_model_"),
    ("z_image", "text_encoder", "lora_te_model_"), ("z_image", "text_encoder", "text_encoder.model.")])
def test_the_names_of_text_encoders(engine, put_on, families, tmp_path, family, encoder, start):
    folder = families(family)
    net = engine._load(folder).base.components[encoder]
    layers = {
        name: layer.weight.detach().clone() for name, layer in net.named_modules()
        if isinstance(layer, torch.nn.Linear) and (name.endswith(("q_proj", "SelfAttention.q", "fc1")))}
    generator, tensors, added = torch.Generator().manual_seed(0), {}, {}
    for layer, weight in layers.items():
        bare = layer.removeprefix("text_model.")
        name = start + (bare.replace(".", "_") if start.endswith("_") else bare)
        down, up = torch.randn(RANK, weight.shape[1],
                               generator=generator), torch.randn(weight.shape[0], RANK, generator=generator)
        tensors |= {
            f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(ALPHA)}
        added[layer] = up @ down * ALPHA / RANK
    left_out, _ = put_on(folder, write(tensors, tmp_path / "x.safetensors"))
    assert not left_out and layers
    weights = effective(net)
    assert all((weights[name] - weight - added[name]).abs().max() < 1e-3 for name, weight in layers.items())


@pytest.mark.parametrize("settings", [{"r": RANK, "lora_alpha": 8}, {"r": RANK, "lora_alpha": 8, "use_rslora": True}])
def test_pefts_settings_beside_the_file_count(put_on, families, tmp_path, settings):
    folder, kind = families("qwen_image"), TRAINERS["peft"]
    tensors, added = low_rank(kind, layers_of(denoiser(folder), False))
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    _, weights = put_on(folder, write(tensors, tmp_path / "adapter_model.safetensors"))
    factor = 8 / RANK ** 0.5 if "use_rslora" in settings else 8 / RANK
    agree(weights, folder, {name: delta * factor for name, delta in added.items()})


def test_layers_of_other_ranks_and_halves_of_weights(put_on, families, tmp_path):
    folder, kind = families("sdxl"), TRAINERS["kohya original"]
    one, added = low_rank(kind, layers_of(denoiser(folder), True)[:8])
    two, more = low_rank(Trainer("lora_unet_", dots=False, alpha=True), layers_of(denoiser(folder), False)[-8:], seed=1)
    files = write(one, tmp_path / "1.safetensors"), write({name: value.half() for name, value in two.items()},
                                                          tmp_path / "2.safetensors")
    _, weights = put_on(folder, Lora(files[0], 0.5), Lora(files[1], -1.0))
    total = {name: 0.5 * added.get(name, 0) - more.get(name, 0) for name in {*added, *more}}
    agree(weights, folder, total, most=2e-3)


@pytest.mark.parametrize("part", ["unknown layer", "other shape", "no second matrix", "a text encoder that is not "
                                                                                      "there",
                                                                                      "a bundle"])
def test_parts_that_do_not_fit_are_named_and_the_rest_is_put_on(run, put_on, families, tmp_path, part):
    folder, kind = families("z_image"), TRAINERS["ai-toolkit"]
    tensors, added = low_rank(kind, layers_of(denoiser(folder), False))
    odd = {"unknown layer": {"transformer.layers.77.attention.to_q.lora_A.weight": torch.zeros(2, 32),
                             "transformer.layers.77.attention.to_q.lora_B.weight": torch.zeros(32, 2)},
           "other shape": {"transformer.cap_embedder.1.lora_A.weight": torch.zeros(2, 99),
                           "transformer.cap_embedder.1.lora_B.weight": torch.zeros(32, 2)},
           "no second matrix": {"transformer.cap_embedder.1.lora_A.weight": torch.zeros(2, 16)},
           "a text encoder that is not there": {"lora_te2_x.lora_down.weight": torch.zeros(2, 2),
                                                "lora_te2_x.lora_up.weight": torch.zeros(2, 2)},
           "a bundle": {"bundle_emb.me.string_to_param.*": torch.zeros(2, 2)}}[part]
    file = write(tensors | odd, tmp_path / "look.safetensors")
    left_out, weights = put_on(folder, file)
    agree(weights, folder, added)
    name = "me" if part == "a bundle" else next(iter(odd)).rpartition(".lora")[0]
    assert len(left_out) == 1 and name in left_out[0] and "look" in left_out[0] and "left out" in left_out[0]
    for _ in range(2):  # the second time it is on already
        assert notes(run(small(folder, steps=1, sampler="euler", loras=(Lora(file),)))) == list(left_out)


@pytest.mark.parametrize(("family", "of", "words"), [
    ("flux", "z_image", "made for Z-Image models: choose one that was made for Flux.1"),
    ("z_image", "qwen_image", "made for Qwen-Image models"),
    ("sd", "flux", "made for Flux.1"), ("flux", "sd", "has none of the layers"), ("sd", "sdxl", "have another shape")])
def test_only_what_was_made_for_another_family_is_reported_as_such(run, families, tmp_path, family, of, words):
    tensors, _ = low_rank(TRAINERS["ai-toolkit"], layers_of(denoiser(families(of)), False))
    events = run(small(families(family), loras=(Lora(write(tensors, tmp_path / "x.safetensors")),)))
    assert isinstance(events[-1],
                      Failed) and "does not fit" in events[-1].message and words in events[-1].hint, events[-1]
    assert ("made for" in events[-1].hint) == ("made for" in words or "shape" in words)
