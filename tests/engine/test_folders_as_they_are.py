"""Model folders as people keep them: half of the parts in half precision, parts that nothing needs deleted."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blender_sd.core.errors import ModelUnreadable
from blender_sd.library.models import resolve_model, survey
from blender_sd.protocol.messages import Failed, Finished
from tests.support.compatibility import FOLDERS
from tests.support.engine import small

pytestmark = pytest.mark.slow


def test_parts_in_different_precisions(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "mixed"))
    for file in (*model.glob("unet/*.safetensors"), *model.glob("text_encoder/*.safetensors")):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert isinstance(run(small(str(model)))[-1], Finished)


def test_parts_that_nothing_needs_may_be_gone(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "models" / "lean"))
    index = json.loads((model / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
              "feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (model / "model_index.json").write_text(json.dumps(index))
    assert resolve_model("lean", [str(tmp_path / "models")]).folder == str(model)
    assert isinstance(run(small(str(model)))[-1], Finished)


def index(folder, **changes):
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def config(folder, part, **changes):
    file = folder / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def unet(folder):
    return next((folder / "unet").glob("*.safetensors"))


def sharded(folder, *, without=0, listed=True):
    weights, stem = load_file(unet(folder)), "diffusion_pytorch_model"
    unet(folder).unlink()
    names = sorted(weights)
    files = {number: f"{stem}-0000{number}-of-00002.safetensors" for number in (1, 2)}
    places = {name: 1 if names.index(name) * 2 < len(names) else 2 for name in names}
    for number, file in files.items():
        if number != without:
            save_file({name: weights[name] for name in names if places[name] == number}, folder / "unet" / file)
    if listed:
        (folder / "unet" / f"{stem}.safetensors.index.json").write_text(json.dumps(
            {"metadata": {}, "weight_map": {name: files[places[name]] for name in names}}))


def changed(folder, change):
    weights = load_file(unet(folder))
    change(weights)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, unet(folder))


def eight_channels(folder):
    changed(folder, lambda weights: weights.update({"conv_in.weight": torch.cat([weights["conv_in.weight"]] * 2, 1)}))
    config(folder, "unet", in_channels=8)


def with_mark(file):
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def with_pickled_checker(folder):
    index(folder, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"pickle")


CHANGES = {
    "a safety checker as a pickle alone": with_pickled_checker,
    "weights in several files": sharded,
    "only half precision": lambda folder: unet(folder).rename(unet(folder).with_suffix(".fp16.safetensors")),
    "plain fp8": lambda folder: changed(folder, lambda weights: weights.update({
        name: weight.to(torch.float8_e4m3fn) for name, weight in weights.items() if weight.ndim > 1})),
    "another pipeline of the family": lambda folder: index(folder, _class_name="StableDiffusionImg2ImgPipeline"),
    "an encoder of pictures that is gone": lambda folder: index(folder, image_encoder=["transformers", "CLIPVisionModel"]),  # noqa: E501
    "an unknown pipeline": lambda folder: index(folder, _class_name="FooPipeline"),
    "a pipeline that edits": lambda folder: index(folder, _class_name="StableDiffusionInstructPix2PixPipeline"),
    "a pipeline for sound": lambda folder: index(folder, _class_name="AudioLDMPipeline"),
    "foreign code": lambda folder: index(folder, unet=["my_code", "Net"]),
    "no scheduler": lambda folder: shutil.rmtree(folder / "scheduler"),
    "an empty scheduler": lambda folder: (folder / "scheduler" / "scheduler_config.json").unlink(),
    "an empty tokenizer": lambda folder: [file.unlink() for file in (folder / "tokenizer").iterdir()],
    "a part without settings": lambda folder: (folder / "text_encoder" / "config.json").unlink(),
    "truncated weights": lambda folder: unet(folder).write_bytes(unet(folder).read_bytes()[:-9]),
    "a pointer of Git LFS": lambda folder: unet(folder).write_text("version https://git-lfs.github.com/spec/v1"),
    "a missing file of several": lambda folder: sharded(folder, without=2),
    "several files without a list": lambda folder: sharded(folder, listed=False),
    "weights of another name": lambda folder: unet(folder).rename(folder / "unet" / "my.safetensors"),
    "bitsandbytes by its settings": lambda folder: config(folder, "unet", quantization_config={
        "quant_method": "bitsandbytes"}),
    "bitsandbytes by its tensors": lambda folder: changed(folder, lambda weights: weights.update({
        "x.absmax": torch.ones(1)})),
    "pickles": lambda folder: unet(folder).rename(unet(folder).with_suffix(".bin")),
    "no VAE": lambda folder: index(folder, vae=[None, None]),
    "no text encoder": lambda folder: index(folder, text_encoder=[None, None]),
    "a mark before the index": lambda folder: with_mark(folder / "model_index.json"),
    "a mark before settings": lambda folder: with_mark(folder / "unet" / "config.json"),
    "eight channels": eight_channels,
}


@pytest.mark.parametrize("what", list(FOLDERS))
def test_a_folder_is_offered_if_it_loads_and_otherwise_named_with_the_reason(run, sd, tmp_path, what):
    reason = FOLDERS[what]
    model = Path(shutil.copytree(sd, tmp_path / "models" / "a [b] (c)__d ü"))
    CHANGES[what](model)
    found = survey([str(tmp_path / "models")])
    assert [str(model)] * (not reason) == [info.id for info in found.models if info.id == str(model)]
    assert [one.reason for one in found.unusable if reason in one.reason] == [one.reason for one in found.unusable]
    assert len(found.unusable) == bool(reason)
    ending = run(small(str(model)))[-1]
    if reason:
        assert isinstance(ending, Failed) and ending.kind == ModelUnreadable.kind, ending
    else:
        assert isinstance(ending, Finished), ending


def test_weights_that_are_not_numbers_are_named(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "model"))
    changed(model, lambda weights: weights["conv_in.bias"].fill_(float("nan")))
    assert "not numbers, such as unet.conv_in.bias" in run(small(str(model)))[-1].message


def test_a_class_that_the_engine_lacks_is_named(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "model"))
    index(model, scheduler=["diffusers", "FooScheduler"])
    assert "asks for FooScheduler" in run(small(str(model)))[-1].message


@pytest.mark.parametrize("gone", ["vae", "unet/diffusion_pytorch_model.safetensors"])
def test_what_cannot_be_loaded_is_not_offered_and_the_reason_is_given(sd, tmp_path, gone):
    model = Path(shutil.copytree(sd, tmp_path / "broken"))
    (shutil.rmtree if (model / gone).is_dir() else Path.unlink)(model / gone)
    found = survey([str(tmp_path)])
    assert str(model) not in [info.id for info in found.models]
    assert [one.name for one in found.unusable] == ["broken"] and gone.partition("/")[0] in found.unusable[0].reason
