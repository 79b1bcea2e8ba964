"""Model folders, good and bad, and how models share memory."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from blender_sd.engine import Engine
from blender_sd.engine.memory import budget, devices
from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, OutOfMemory
from blender_sd.protocol.messages import EngineConfig, Failed, Finished, Loading, Note
from tests.support.engine import small


@pytest.fixture
def copy(sd, tmp_path) -> Path:
    return Path(shutil.copytree(sd, tmp_path / "copy"))


def failure(run, folder, tmp_path) -> Failed:
    place = tmp_path / "pictures"
    place.mkdir(exist_ok=True)
    failed = run(small(str(folder)), output=place)[-1]
    assert isinstance(failed, Failed) and not list(place.iterdir())
    assert failed.message.endswith(".") or ":" in failed.message
    assert "\n" not in failed.message
    return failed


def test_a_folder_that_is_not_there(run, tmp_path):
    assert failure(run, tmp_path / "nowhere", tmp_path).kind == ModelNotFound.kind


def test_a_folder_that_is_no_model(run, tmp_path):
    (tmp_path / "holiday").mkdir()
    assert failure(run, tmp_path / "holiday", tmp_path).kind == ModelNotFound.kind


def test_a_single_file_checkpoint_is_distinguished_from_no_model(run, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "model.safetensors").write_bytes(b"x")
    failed = failure(run, tmp_path / "holiday", tmp_path)
    assert failed.kind == ModelUnreadable.kind and "one of its files" in failed.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, '{"_class_name": ["pipeline", "Evil"]}',
                                                                      '{"_class_name": "Evil"}'])
def test_a_broken_index(run, copy, tmp_path, text):
    (copy / "model_index.json").write_text(text)
    assert failure(run, copy, tmp_path).kind == ModelUnreadable.kind


def test_foreign_code_is_never_imported(run, copy, tmp_path):
    index = json.loads((copy / "model_index.json").read_text())
    index["unet"] = ["evil", "Net"]
    (copy / "model_index.json").write_text(json.dumps(index))
    (copy / "unet" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert failure(run, copy, tmp_path).kind == ModelUnreadable.kind
    assert not (tmp_path / "ran").exists()


def test_a_missing_part(run, copy, tmp_path):
    shutil.rmtree(copy / "vae")
    failed = failure(run, copy, tmp_path)
    assert failed.kind == ModelUnreadable.kind and "'vae'" in failed.message


def test_a_part_without_weights(run, copy, tmp_path):
    next((copy / "unet").glob("*.safetensors")).unlink()
    assert failure(run, copy, tmp_path).kind == ModelUnreadable.kind


def test_a_truncated_file(run, copy, tmp_path):
    weights = next((copy / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    failed = failure(run, copy, tmp_path)
    assert failed.kind == ModelUnreadable.kind and weights.name in failed.message and "Download" in failed.hint


def test_a_broken_configuration(run, copy, tmp_path):
    (copy / "unet" / "config.json").write_text("{")
    assert failure(run, copy, tmp_path).kind == ModelUnreadable.kind


def test_pickles_are_refused_with_the_reason_and_the_remedy(run, copy, tmp_path):
    weights = next((copy / "unet").glob("*.safetensors"))
    weights.unlink()
    torch.save({}, copy / "unet" / "diffusion_pytorch_model.bin")
    failed = failure(run, copy, tmp_path)
    assert failed.kind == ModelUnreadable.kind and "pickle" in failed.message and "safetensors" in failed.hint


def test_a_folder_with_half_precision_files_only(run, copy):
    for name in ("unet", "vae", "text_encoder"):
        for file in (copy / name).glob("*.safetensors"):
            file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert isinstance(run(small(str(copy)))[-1], Finished)


def test_a_repaired_folder_is_read_again(run, copy):
    index = (copy / "model_index.json").read_text()
    (copy / "model_index.json").write_text("{")
    assert isinstance(run(small(str(copy)))[-1], Failed)
    (copy / "model_index.json").write_text(index)
    assert isinstance(run(small(str(copy)))[-1], Finished)


def test_both_tasks_share_one_set_of_weights(engine, sd):
    model = engine._load(sd)
    text, image = (model.pipe(task) for task in ("text_to_image", "image_to_image"))
    assert type(text) is not type(image)
    assert all(text.components[name] is image.components[name] for name in ("unet", "vae", "text_encoder"))
    assert model.pipe("text_to_image") is text


@pytest.mark.slow
def test_models_stay_loaded_within_the_budget_the_oldest_going_first(sd, taesd, sdxl, monkeypatch):
    engine = Engine(device="cpu", threads=1, memory_mb=0)
    sizes = {folder: engine._load(folder).size for folder in (sd, taesd, sdxl)}
    library = engine._painter.loader.library
    assert library.loaded() == ["sd", "taesd", "sdxl"]
    library.budget = sum(sizes.values())
    engine._load(sd)
    assert library.loaded() == ["taesd", "sdxl", "sd"]
    library.clear()
    for folder in (sd, taesd):
        engine._load(folder)
    library.budget = sizes[taesd] + sizes[sdxl]
    engine._load(sdxl)
    assert library.loaded() == ["taesd", "sdxl"]
    monkeypatch.setattr(devices.Device, "free_bytes", lambda self: 10**9 if library.loaded() == ["sdxl"] else 10)
    assert not engine._painter._needs_tiled_vae(engine._load(sdxl), engine._load(sdxl).base, (64, 64))
    assert library.loaded() == ["sdxl"]  # rather than refuse the picture
    library.budget = 1
    monkeypatch.undo()
    engine._load(sd)
    assert library.loaded() == ["sd"]  # the one in use may exceed the budget
    engine.close()
    assert library.loaded() == []


def test_a_warm_model_is_not_read_again(run, sd):
    run(small(sd))
    assert not [event for event in run(small(sd)) if isinstance(event, Loading)]


def test_a_picture_that_clearly_cannot_fit_is_refused_before_it_is_begun(run, sd, monkeypatch):
    run(small(sd))
    monkeypatch.setattr(devices.Device, "free_bytes", lambda self: 50_000)
    events = run(small(sd, width=512, height=512))
    assert [type(event) for event in events] == [Failed]
    assert events[0].kind == OutOfMemory.kind and "512 × 512" in events[0].message and "GB" in events[0].message


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(run, copy, monkeypatch):
    monkeypatch.setattr(devices.Device, "free_bytes", lambda self: 50_000)
    assert run(small(str(copy)))[-1].kind == OutOfMemory.kind


def test_the_estimate_grows_with_the_picture_and_matches_stable_diffusion_in_kind():
    from types import SimpleNamespace as Space

    vae = Space(config=Space(block_out_channels=(128, 256, 512, 512)), dtype=torch.float32, quant_conv=1)
    pipe = Space(vae=vae, vae_scale_factor=8, unet=Space(config=Space(block_out_channels=(320, 640)),
                                                         dtype=torch.float32))
    assert 0.4e9 < budget.picture_bytes(pipe, 512, 512) < 1.5e9
    assert budget.picture_bytes(pipe, 8192, 8192) > 100e9


@pytest.mark.slow
def test_half_precision_vaes_that_overflow_are_repaired(sd, monkeypatch):
    from diffusers import AutoencoderKL

    engine = Engine(device="cpu", threads=1, precision="bf16", preview_px=0)
    expected = engine.generate("brick", seed=1, steps=2, size=(32, 32), model=sd)[0]
    original, calls = AutoencoderKL.decode, []

    def overflow(self, latents, *arguments, **options):
        calls.append(self.dtype)
        result = original(self, latents, *arguments, **options)
        return (result[0] * float("nan"),) if self.dtype == torch.bfloat16 else result

    monkeypatch.setattr(AutoencoderKL, "decode", overflow)
    for expected_calls in ([torch.bfloat16, torch.float32], [torch.float32]):  # learned the first time
        calls.clear()
        picture = engine.generate("brick", seed=1, steps=2, size=(32, 32), model=sd)[0]
        assert calls == expected_calls
        assert abs(int(picture.getpixel((5, 5))[0]) - expected.getpixel((5, 5))[0]) <= 4
    assert engine._load(sd).base.vae.dtype == torch.bfloat16
    engine.close()


def test_latents_that_are_not_numbers_are_an_error_not_a_black_picture(run, sd, engine, monkeypatch, tmp_path):
    unet = engine._load(sd).base.unet
    weight = unet.conv_out.bias.data.clone()
    unet.conv_out.bias.data.fill_(3e38)  # which overflows; weights that are NaN are named
    try:
        failed = run(small(sd))[-1]
    finally:
        unet.conv_out.bias.data.copy_(weight)
    assert isinstance(failed, Failed) and "not numbers" in failed.message and "fp32" in failed.hint
    assert not list(tmp_path.iterdir())


def test_a_safety_checker_that_blanks_a_picture_is_heard(run, sd, engine, monkeypatch):
    pipe = engine._load(sd).pipe("text_to_image")
    monkeypatch.setattr(pipe, "run_safety_checker", lambda image, device, dtype: (image * 0, [True]))
    notes = [event.text for event in run(small(sd)) if isinstance(event, Note)]
    assert any("safety checker" in text for text in notes)


@pytest.mark.parametrize("config", [{"device": "abacus"}, {"device": "cuda:99"}, {"precision": "fp7"}])
def test_devices_and_precisions_that_are_not_there(config):
    with pytest.raises(InvalidRequest):
        Engine(EngineConfig(**config)).warm()


def test_precision_follows_device_family_and_size(monkeypatch):
    big, tiny = 4 << 30, 4 << 20
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(devices, "cpu_has_bf16", lambda has=has: has)
        cpu = devices.Device(torch.device("cpu"), "auto")
        assert cpu.dtype(False, big) == expected and cpu.dtype(False, tiny) == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    cuda = devices.Device(torch.device("cuda"), "auto")
    assert cuda.dtype(False, big) == torch.float16 and cuda.dtype(True, big) == torch.bfloat16
    assert devices.Device(torch.device("cuda"), "fp32").dtype(True, big) == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_paints(precision, sd, sdxl):
    engine = Engine(device="cpu", threads=1, precision=precision)
    assert engine.warm().precision == precision
    for folder, samplers in ((sd, ("dpmpp_2m", "dpmpp_sde", "euler_a")), (sdxl, ("dpmpp_2m",))):
        for sampler in samplers:
            picture = engine.generate("brick", seed=1, steps=2, size=(32, 32), model=folder, sampler=sampler)[0]
            assert engine.restyle(picture, "brick", seed=1, steps=2, model=folder, sampler=sampler)
        assert engine._load(folder).dtype == devices.PRECISIONS[precision]
    engine.close()
