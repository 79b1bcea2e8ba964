"""Models in one file: recognised by their header, read without the internet, the same pictures as from their folder."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.engine.models import single_file
from blender_sd.library import checkpoints
from blender_sd.core.errors import ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Source
from tests.support import ldm_layout
from tests.support.engine import small

pytestmark = pytest.mark.slow

CONFIGS = Path(checkpoints.CONFIGS)


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


@pytest.fixture
def tiny_configs(monkeypatch, tmp_path, sd, sdxl, families):
    """The tests' models in place of the real families: their configs, and their tokenizer."""
    for family, model in (("sd15", sd), ("sd2", families("sd2")), ("sdxl", sdxl)):
        shutil.copytree(model, tmp_path / "configs" / family, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(single_file, "CONFIGS", str(tmp_path / "configs"))
    words = diffusers.StableDiffusionPipeline.from_pretrained(sd).tokenizer
    monkeypatch.setattr(single_file, "_tokenizer", lambda padding: words)


def load(folder: str):
    return diffusers.DiffusionPipeline.from_pretrained(folder)


@pytest.mark.parametrize("name", ["sd", "sd2", "sdxl"])
def test_the_same_pictures_as_from_the_folder(families, run, tiny_configs, tmp_path, name):
    folder = families(name)
    file = str(ldm_layout.write(load(folder), tmp_path / "my model.safetensors"))
    source = Source(pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8))
    for order in (small(file), small(file, task="image_to_image", strength=0.6, tiling="x")):
        again = run(
            type(order)(**{**vars(order), "model": folder}),
            source=source if order.task.name != "text_to_image" else None,
        )
        events = run(order, source=source if order.task.name != "text_to_image" else None)
        assert np.array_equal(made(events), made(again))
    with Image.open(events[-1].results[0].path) as picture:
        assert "Model: my model" in picture.info["parameters"]


def test_sd_turbo_has_its_text_encoder_where_sdxl_has_one(families, run, tiny_configs, tmp_path):
    weights = load_file(ldm_layout.write(load(families("sd2")), tmp_path / "plain.safetensors"))
    turbo = {name.replace("cond_stage_model.model.", checkpoints.TURBO_WORDS): value for name, value in weights.items()}
    save_file(turbo, tmp_path / "turbo.safetensors")
    assert single_file.kind_of(tmp_path / "turbo.safetensors").name == checkpoints.SD2
    one, two = (run(small(str(tmp_path / f"{name}.safetensors"))) for name in ("plain", "turbo"))
    assert np.array_equal(made(one), made(two))


@pytest.mark.parametrize("velocity", [True, False])
def test_what_a_model_of_sd_2_predicts_is_told_from_its_biases(families, run, tiny_configs, tmp_path, velocity):
    pipe, extra = load(families("sd2")), {"cond_stage_model.model.text_projection": torch.zeros(1024, 1024)}
    extra |= {f"cond_stage_model.model.transformer.resblocks.23.{name}": torch.zeros(2) for name in ("ln_1.weight", "mlp.c_fc.bias")}  # noqa: E501
    bias = torch.linspace(-1, 1, 32) * (0.5 if velocity else 0.05)
    extra[single_file._LAST_BIAS] = bias
    file = ldm_layout.write(pipe, tmp_path / "x.safetensors", **extra)
    made, left = single_file.read(file, torch.float32)
    assert made.scheduler.config.prediction_type == ("v_prediction" if velocity else pipe.scheduler.config.prediction_type)  # noqa: E501
    assert made.tokenizer is not None and [name for name in left if "cond_stage" in name] and not notes_of(file, left)


def notes_of(file, left):
    """Return the notes about tensors that are left over, but for the bias that this tiny model does not have."""
    from blender_sd.engine.models import leftovers

    return leftovers.notes(file, [name for name in left if name != single_file._LAST_BIAS])


def test_inpainting_and_velocity_are_read_from_the_file(run, tiny_configs, tmp_path, sd, monkeypatch):
    pipe = load(sd)
    wide = torch.nn.Conv2d(9, 32, 3, padding=1)
    pipe.unet.conv_in = wide
    pipe.unet.register_to_config(in_channels=9)
    file = ldm_layout.write(pipe, tmp_path / "inpaint.safetensors")
    assert single_file.kind_of(file).channels == 9
    assert single_file.read(file, torch.float32)[0].unet.conv_in.in_channels == 9
    refused = run(small(str(file)))
    assert isinstance(refused[-1], Failed) and "only inpaint" in refused[-1].message
    velocity = ldm_layout.write(load(sd), tmp_path / "v.safetensors", v_pred=torch.zeros(1))
    assert single_file.read(velocity, torch.float32)[0].scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize(("what", "words"), [
    ("lora", "lora"), ("vae", "a VAE"), ("unknown", "something else"), ("truncated", "broken"), ("empty", "broken"), ("pickle", "pickle"),  # noqa: E501
    ("text", "cannot be read"),
])
def test_what_is_no_model_is_refused_in_words(run, sd, tmp_path, what, words):
    file = tmp_path / "file.safetensors"
    names = {"lora": "lora_unet_x.lora_down.weight", "vae": "first_stage_model.decoder.conv_in.weight"}
    save_file({names.get(what, "weight"): torch.zeros(3)}, file)
    if what == "truncated":
        ldm_layout.write(load(sd), file)
        file.write_bytes(file.read_bytes()[:-1000])
    elif what == "empty":
        file.write_bytes(b"")
    elif what in ("pickle", "text"):
        file = file.with_suffix(".ckpt" if what == "pickle" else ".txt")
        file.write_bytes(b"x")
    events = run(small(str(file)))
    assert isinstance(events[-1],
                      Failed) and events[-1].kind == ModelUnreadable.kind and words in events[-1].message, events[-1]


@pytest.mark.parametrize(("family", "part", "weights"), [
    ("sd2", "unet", 865_910_724), ("sd2", "vae", 83_653_863), ("sd2", "text_encoder", 340_387_840),
    ("sd15", "unet", 859_520_964), ("sd15", "vae", 83_653_863), ("sd15", "text_encoder", 123_060_480),
    ("sdxl", "unet", 2_567_463_684), ("sdxl", "vae", 83_653_863), ("sdxl", "text_encoder_2", 694_659_840),
])
def test_the_shipped_configs_are_those_of_the_real_models(family, part, weights):
    import transformers
    from accelerate import init_empty_weights

    library, name = json.loads((CONFIGS / family / "model_index.json").read_text(encoding="utf-8"))[part]
    cls = getattr({"diffusers": diffusers, "transformers": transformers}[library], name)
    with init_empty_weights():
        if library == "diffusers":
            net = cls.from_config(cls.load_config(CONFIGS / family / part))
        else:
            net = cls(transformers.CLIPTextConfig.from_pretrained(CONFIGS / family / part))
    assert sum(weight.numel() for weight in net.parameters()) == weights


def test_the_tokenizer_is_clips():
    words = single_file._tokenizer("<|endoftext|>")
    assert len(words) == 49408 and words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words.pad_token_id == 49407 and single_file._tokenizer("!").pad_token_id == 0
