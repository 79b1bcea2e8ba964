"""Files that hold more than plain weights: 8-bit weights with scales, markers of how a model was trained, parts that
are left over."""
from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.core.errors import ModelUnreadable
from blender_sd.engine.models import leftovers, packed, single_file
from blender_sd.library import quantised
from blender_sd.library.checkpoints import read_kind
from blender_sd.protocol.messages import Failed, Finished, Generate, Note
from tests.engine.test_single_file import load, tiny_configs  # noqa: F401  (a fixture)
from tests.engine.test_transformer_file import made, paint, shelf, tiny_converter, weights_of  # noqa: F401  (fixtures)
from tests.support import ldm_layout
from tests.support.engine import small
from tests.support.flux_layout import original

pytestmark = pytest.mark.slow

FP8 = torch.float8_e4m3fn


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


def scaled(weights, layout):
    """The matrices of a denoiser in 8 bits, in one of the layouts that programs write."""
    end = {"scale_weight": ".scale_weight", "blocks": ".weight_scale_inv"}.get(layout, ".weight_scale")
    found = dict(weights)
    for name, weight in weights.items():
        if not name.endswith(".weight") or weight.ndim != 2 or min(weight.shape) < 16 or "blocks" not in name:
            continue
        stem = name.removesuffix(".weight")
        most = 120 if layout == "int8" else 400
        if layout == "blocks":
            rows = weight.float().split(16)
            pieces = [[part.abs().max() / most for part in row.split(16, 1)] for row in rows]
            scale = torch.tensor(pieces)
            grown = scale.repeat_interleave(16, 0)[:weight.shape[0]].repeat_interleave(16, 1)[:, :weight.shape[1]]
        elif layout in ("rows", "int8"):
            scale = weight.float().abs().amax(1, keepdim=True) / most
            grown = scale
        else:
            scale = weight.float().abs().max()[None] / most
            grown = scale
        values = weight.float() / grown
        found[name] = values.round().to(torch.int8) if layout == "int8" else values.to(FP8)
        found[stem + end] = scale
        found[f"{stem}.{'scale_input' if layout == 'scale_weight' else 'input_scale'}"] = torch.ones(())
        if layout == "comfy_quant":
            found[f"{stem}.comfy_quant"] = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()),
                                                        dtype=torch.uint8)
    return found | ({"scaled_fp8": torch.zeros(2, dtype=FP8)} if layout == "scale_weight" else {})


@pytest.mark.parametrize("layout", ["scale_weight", "weight_scale", "comfy_quant", "rows", "blocks", "int8"])
def test_weights_in_8_bits_are_what_they_stand_for(layout):
    generator = torch.Generator().manual_seed(0)
    weights = {
        f"blocks.0.{name}.weight": torch.randn(sides, generator=generator)
        * torch.rand(sides[0], 1, generator=generator)
        for name, sides in (("a", (48, 32)), ("b", (40, 72)), ("c", (16, 16)))} | {"norm.weight": torch.ones(4)}
    read = packed.plain(scaled(weights, layout), torch.float32)
    assert read.keys() == weights.keys()
    for name, weight in weights.items():
        assert (read[name] - weight).abs().max() <= weight.abs().max() * 0.07, name


@pytest.mark.parametrize("layout", ["scale_weight", "comfy_quant", "rows"])
@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_checkpoint_in_8_bits_paints_the_same_picture(request, run, tiny_configs, tmp_path, name,
                                                        layout):  # noqa: F811
    pipe = load(request.getfixturevalue(name))
    weights = load_file(ldm_layout.write(pipe, tmp_path / "plain.safetensors"))
    inside = {key: value for key, value in weights.items() if key.startswith("model.diffusion_model.")}
    packed_ones = scaled({key.replace("model.diffusion_model.", "blocks."): value for key, value in inside.items()},
                         layout)
    renamed = {
        key.replace("blocks.", "model.diffusion_model.", 1): value.contiguous() for key, value in packed_ones.items()}
    save_file(weights | renamed, tmp_path / "scaled.safetensors")
    one, two = run(small(str(tmp_path / "plain.safetensors"))), run(small(str(tmp_path / "scaled.safetensors")))
    assert np.abs(made(one).astype(int) - made(two)).mean() < 4 and not notes(two)


@pytest.mark.parametrize("layout", ["scale_weight", "comfy_quant", "blocks"])
def test_a_transformer_in_8_bits(run, paint, shelf, families, tiny_converter, tmp_path, layout):  # noqa: F811
    folders = shelf("flux")
    file = tmp_path / "models" / "small flux.safetensors"
    weights = {
        f"model.diffusion_model.{name}": weight.contiguous()
        for name, weight in original(weights_of(families("flux"))).items()}
    save_file(scaled(weights, layout), file)
    events = paint(file, folders)
    assert np.abs(made(events).astype(int) - made(run(small(families("flux"), steps=2, sampler="euler")))).mean() < 4
    assert not notes(events)


@pytest.mark.parametrize(("extra", "words"), [
    ({"a.weight": torch.zeros(4, 4, dtype=torch.uint8), "a.weight.absmax": torch.zeros(1)}, "bitsandbytes"),
    ({"a.weight": torch.zeros(4, 4, dtype=torch.uint8), "a.weight_scale": torch.zeros(1), "a.weight_scale_2": torch.zeros(1)}, "nvfp4"),  # noqa: E501
    ({"a.qweight": torch.zeros(4, 4, dtype=torch.int32), "a.qzeros": torch.zeros(1)}, "GPTQ or AWQ"),
    ({"a.qweight": torch.zeros(4, 4, dtype=torch.int8), "a.wscales": torch.zeros(1)}, "SVDQuant"),
    ({"a.weight": torch.zeros(4, 4, dtype=torch.int8)}, "whole numbers without their scales")])
def test_other_packings_are_named(run, families, tmp_path, extra, words):
    file = tmp_path / "x.safetensors"
    save_file({**{name: value.contiguous() for name, value in original(weights_of(families("flux"))).items()}, **extra},
              file)
    assert words in quantised.refusal({
        name: {"dtype": {torch.uint8: "U8", torch.int8: "I8"}.get(value.dtype, "F32"), "shape": list(value.shape)}
        for name, value in extra.items()})
    assert words in read_kind(str(file)).refusal
    events = run(small(str(file)))
    assert isinstance(events[-1], Failed) and events[-1].kind == ModelUnreadable.kind and words in events[-1].message


MARKERS = [({"v_pred": torch.zeros(1)}, {}, ("v_prediction", False, "")),
           ({"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}, {}, ("v_prediction", True, "")),
           ({}, {"modelspec.prediction_type": "v"}, ("v_prediction", False, "")),
           ({}, {"modelspec.prediction_type": "epsilon"}, ("epsilon", False, "")), ({}, {}, ("epsilon", False, "")),
           ({"edm_mean": torch.tensor([[[0.1]], [[0.2]], [[0.3]], [[0.4]]]),
             "edm_std": torch.ones(1, 4, 1, 1)}, {}, ("epsilon", False, "EDM")),
           ({"edm_vpred.sigma_max": torch.tensor(90.0),
             "edm_vpred.sigma_min": torch.tensor(0.01)}, {}, ("v_prediction", False, "EDM"))]


@pytest.mark.parametrize(("tensors", "metadata", "expected"), MARKERS)
def test_what_a_file_says_of_its_training_counts(run, tiny_configs, sdxl, tmp_path, tensors, metadata,
                                                 expected):  # noqa: F811
    file = tmp_path / "x.safetensors"
    save_file(load_file(ldm_layout.write(load(sdxl), file)) | tensors, file, metadata or None)
    pipe, left = single_file.read(file, torch.float32)
    config = pipe.scheduler.config
    assert (config.prediction_type, bool(config.get("rescale_betas_zero_snr"))) == expected[:2]
    assert ("EDM" in type(pipe.scheduler).__name__) == bool(expected[2]) and not leftovers.notes(file, left)
    if "edm_mean" in tensors:
        assert np.allclose(pipe.vae.config.latents_mean, [0.1, 0.2, 0.3, 0.4]) and pipe.vae.config.scaling_factor == 0.5
    if "edm_vpred.sigma_max" in tensors:
        assert config.sigma_max == 90.0 and config.sigma_min == pytest.approx(0.01)
    assert isinstance(run(small(str(file)))[-1], Finished)


@pytest.mark.parametrize("name", ["sd", "taesd", "sdxl"])
def test_a_person_can_say_how_a_model_was_trained(request, run, families, name):
    folder = request.getfixturevalue(name)
    pictures = [made(run(small(folder, **changes))) for changes in (
        {}, {"prediction": "epsilon"}, {"prediction": "v_prediction"}, {"prediction": "v_prediction", "zero_snr": "on"},
        {"zero_snr": "off"})]
    own = 2 if name == "taesd" else 1
    assert np.array_equal(pictures[0], pictures[own]) and np.array_equal(pictures[0], pictures[4])
    assert not np.array_equal(pictures[1], pictures[2]) and not np.array_equal(pictures[2], pictures[3])
    events = run(small(families("flux"), prediction="epsilon", sampler="euler"))
    assert isinstance(events[-1], Failed) and "flow matching" in events[-1].message


def test_what_is_left_over_is_named_and_what_does_nothing_is_not(run, tiny_configs, sd, sdxl, tmp_path):  # noqa: F811
    harmless = {
        "model_ema.decay": torch.zeros(1), "betas": torch.zeros(9), "cond_stage_model.logit_scale": torch.zeros(1),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.zeros(1, 77),
        "global_step": torch.zeros(1), "first_stage_model.loss.discriminator.main.0.weight": torch.zeros(1),
        "sqrt_alphas_cumprod": torch.zeros(1)}
    odd = {"model.diffusion_model.adapter.magic.weight": torch.zeros(2, 2), "my.own.tensor": torch.zeros(1)}
    file = ldm_layout.write(load(sd), tmp_path / "x.safetensors", **harmless)
    assert not notes(run(small(str(file))))
    file = ldm_layout.write(load(sd), tmp_path / "y.safetensors", **harmless, **odd)
    lines = notes(run(small(str(file))))
    assert len(lines) == 1 and all(name in lines[0] for name in odd) and "(2)" in lines[0]
    file = ldm_layout.write(load(sdxl), tmp_path / "z.safetensors", **odd)
    assert all(name in notes(run(small(str(file))))[0] for name in odd)


@pytest.mark.parametrize("name", ["flux", "z_image", "qwen_image"])
def test_tensors_of_transformers_are_accounted_for(paint, shelf, families, tiny_converter, tmp_path,
                                                   name):  # noqa: F811
    folders = shelf(name)
    file = tmp_path / "models" / "alone.safetensors"
    weights = original(weights_of(families("flux"))) if name == "flux" else weights_of(families(name))
    weights = {key: value.contiguous() for key, value in weights.items()}
    save_file(weights, file)
    assert not notes(paint(file, folders))
    save_file({**weights, "odd.weight": torch.zeros(2)}, tmp_path / "models" / "other.safetensors")
    assert "odd.weight" in notes(paint(tmp_path / "models" / "other.safetensors", folders))[0]


@pytest.mark.parametrize("part", ["model.diffusion_model.middle_block.1.proj_in.weight", "first_stage_model.decoder.conv_in.bias",  # noqa: E501
                                  "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"])
def test_missing_weights_are_named(run, tiny_configs, sd, tmp_path, part):  # noqa: F811
    file = tmp_path / "x.safetensors"
    weights = load_file(ldm_layout.write(load(sd), file))
    del weights[part]
    save_file(weights, file)
    events = run(small(str(file)))
    assert isinstance(events[-1], Failed) and events[-1].kind == ModelUnreadable.kind
    assert "lacks some of its weights (1)" in events[-1].message and part.rpartition(
        ".")[2] in events[-1].message, events[-1]


def test_text_encoders_as_novelai_names_them(run, tiny_configs, sd, tmp_path):  # noqa: F811
    plain = ldm_layout.write(load(sd), tmp_path / "plain.safetensors")
    weights = {
        name.replace(".transformer.text_model.", ".transformer."): value for name, value in load_file(plain).items()}
    save_file(weights, tmp_path / "novel.safetensors")
    one, two = run(small(str(plain))), run(small(str(tmp_path / "novel.safetensors")))
    assert np.array_equal(made(one), made(two)) and not notes(two)


def test_a_vae_is_chosen_for_any_family(run, tiny_configs, families, tmp_path):  # noqa: F811
    for name in ("sd", "flux", "qwen_image", "flux2_klein"):
        folder = families(name)
        cls = getattr(diffusers, diffusers.DiffusionPipeline.load_config(folder)["vae"][1])
        net = cls.from_pretrained(folder, subfolder="vae")
        with torch.no_grad():
            for weight in net.decoder.parameters():
                weight.mul_(1.3)
        net.save_pretrained(tmp_path / name / "my vae")
        file = tmp_path / name / "my [vae] (v2).safetensors"
        shutil.copy(next((tmp_path / name / "my vae").glob("*.safetensors")), file)
        settings = {"sampler": "euler", "steps": 2}
        plain, of_folder, of_file = (made(run(small(folder, vae=vae, **settings))) for vae in (
            "", str(tmp_path / name / "my vae"), str(file)))
        assert not np.array_equal(plain, of_folder) and np.array_equal(of_folder, of_file)
        assert np.array_equal(plain, made(run(small(folder, **settings))))
    old = tmp_path / "old.safetensors"
    vae = diffusers.AutoencoderKL.from_pretrained(tmp_path / "sd" / "my vae")
    save_file({name: value.contiguous() for name, value in ldm_layout.vae(vae).items()}, old)
    wanted = made(run(small(families("sd"), vae=str(tmp_path / "sd" / "my vae"))))
    assert np.array_equal(wanted, made(run(small(families("sd"), vae=str(old)))))
    whole = ldm_layout.write(load(families("sd")), tmp_path / "whole.safetensors")
    assert np.array_equal(wanted, made(run(small(str(whole), vae=str(old)))))
    wrong = run(
        small(families("flux"), vae=str(next(Path(families("sd3"), "vae").glob("*.safetensors"))), sampler="euler"))
    assert isinstance(wrong[-1], Failed) and "does not fit the model" in wrong[-1].message


@pytest.mark.parametrize("lender", ["folder", "file"])
def test_a_checkpoint_takes_what_it_lacks_from_another(engine, tiny_configs, sd, tmp_path, lender):  # noqa: F811
    whole = ldm_layout.write(load(sd), tmp_path / "whole.safetensors")
    weights, events = load_file(whole), []
    wanted = None
    for left_out in ((), ("first_stage_model.",), ("cond_stage_model.",), ("first_stage_model.", "cond_stage_model.")):
        file = tmp_path / f"without {len(left_out)} {left_out[-1:] or ''}.safetensors"
        save_file({name: value for name, value in weights.items() if not name.startswith(left_out or "-")}, file)
        request = small(str(file))
        base_model = (sd if lender == "folder" else str(whole)) if left_out else ""
        engine.run(Generate("job", request, str(file), str(tmp_path), {}, base_model=base_model), events.append,
                   lambda: False)
        wanted = made(events) if wanted is None else wanted
        assert np.array_equal(made(events), wanted)
        if left_out:
            engine.run(Generate("job", request, str(file), str(tmp_path), {}), events.append, lambda: False)
            assert isinstance(events[-1], Failed) and ("no VAE" in events[-1].message
                                                       or "no text encoder" in events[-1].message)
    request = dataclasses.replace(small(str(tmp_path / "without 1 ('first_stage_model.',).safetensors")),
                                  vae=str(Path(sd, "vae")))
    engine.run(Generate("job", request, request.model, str(tmp_path), {}), events.append, lambda: False)
    assert np.array_equal(made(events), wanted)


def test_pictures_carry_what_was_chosen(run, sd):
    events = run(small(sd, prediction="v_prediction"))
    with Image.open(events[-1].results[0].path) as picture:
        assert json.loads(picture.info["blender_sd"])["prediction"] == "v_prediction"
