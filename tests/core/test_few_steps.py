"""Few-step models and LoRAs: known by title, name, scheduler or UNet, and never by an ordinary word."""
from __future__ import annotations

import json

import pytest

from blender_sd.core import few_steps
from blender_sd.core.samplers import SAMPLERS
from blender_sd.library.models import read_checkpoint, read_model
from blender_sd.library.adapters import find_files
from tests.support.model_files import KOHYA, safetensors
from tests.support.model_files import UNET, VAE, make_model

NAMES = {
    "lcm-lora-sdv1-5": ("LCM", 4, 1.0, "lcm"),
    "sdxl_lightning_8step_lora": ("Lightning", 8, 1.0, "euler_trailing"),
    "ByteDance/SDXL-Lightning": ("Lightning", 4, 1.0, "euler_trailing"),
    "Hyper-SD15-8steps-lora": ("Hyper-SD", 8, 1.0, "ddim_trailing"),
    "Hyper-SDXL-2steps-lora": ("Hyper-SD", 2, 1.0, "ddim_trailing"),
    "Hyper-SDXL-12steps-CFG-lora": ("Hyper-SD", 12, 5.0, "ddim_trailing"),
    "Hyper-SDXL-1step-lora": ("Hyper-SD", 1, 1.0, "tcd"),
    "Hyper-FLUX.1-dev-16steps-lora": ("Hyper-SD", 16, 3.5, "euler"),
    "Hyper-SD3-4steps-CFG-lora": ("Hyper-SD", 4, 5.0, "euler"),
    "sd_xl_turbo_1.0_fp16": ("Turbo", 4, 1.0, "euler_a_trailing"),
    "stabilityai/sd-turbo": ("Turbo", 4, 1.0, "euler_a_trailing"),
    "TCD-SDXL-LoRA": ("TCD", 4, 1.0, "tcd"),
    "dmd2_sdxl_4step_lora": ("DMD2", 4, 1.0, "lcm"),
    "pcm_sdxl_smallcfg_2step_converted": ("PCM", 2, 1.0, "ddim_trailing"),
    "pcm_sd15_normalcfg_8step_converted": ("PCM", 8, 3.0, "ddim_trailing"),
    "pcm_sdxl_lcmlike_lora_converted": ("PCM", 4, 1.0, "lcm"),
    "jasperai/flash-sdxl": ("Flash Diffusion", 4, 1.0, "lcm"),
    "Qwen-Image-Lightning-4steps-V1.0": ("Qwen-Image-Lightning", 4, 1.0, "euler"),
    "FLUX.1-Turbo-Alpha": ("FLUX.1-Turbo", 8, 3.5, "euler"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_say_it(name):
    found = few_steps.named(name)
    assert (found.name, found.steps, found.guidance, found.sampler) == NAMES[name]
    assert found.sampler in SAMPLERS and found.weight == (0.125 if "SD3" in name or "Hyper-FLUX" in name else 1.0)


@pytest.mark.parametrize("name", ["", "lightning storm", "turbo_car", "hyperrealism", "flash_photography", "old bricks 4", "stepmother",  # noqa: E501
                                  "sdxl", "my 4 steps to heaven", "hyper", "calcmatic"])
def test_ordinary_words_do_not(name):
    assert few_steps.named(name) is None


def test_a_lora_is_known_by_its_title_its_name_or_its_folder(tmp_path):
    safetensors(tmp_path / "SDXL lightning 4step.safetensors", KOHYA)
    safetensors(tmp_path / "bricks.safetensors", KOHYA)
    safetensors(tmp_path / "lcm-lora-sdxl" / "pytorch_lora_weights.safetensors", KOHYA)
    titled = json.dumps({"__metadata__": {"modelspec.title": "TCD LoRA", "ss_output_name": "x"}, KOHYA: {}}).encode()
    (tmp_path / "fast.safetensors").write_bytes(len(titled).to_bytes(8, "little") + titled)
    found = {one.name: one.few_steps and one.few_steps.name for one in find_files("lora", [str(tmp_path)])}
    assert found == {"SDXL lightning 4step": "Lightning", "bricks": None, "pytorch_lora_weights": "LCM", "fast": "TCD"}


def _folder(path, scheduler, **unet):
    folder = make_model(path, unet={**UNET, **unet}, vae=VAE)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return read_model(folder)


def test_model_folders(tmp_path):
    trailing = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}
    embedded = _folder(tmp_path / "a", {"_class_name": "PNDMScheduler"}, time_cond_proj_dim=256)
    assert (embedded.few_steps, embedded.steps, embedded.guidance, embedded.sampler) == ("LCM", 4, 8.0, "lcm")
    by_scheduler = _folder(tmp_path / "b", {"_class_name": "TCDScheduler"})
    assert (by_scheduler.few_steps, by_scheduler.sampler) == ("TCD", "tcd")
    assert _folder(tmp_path / "quick turbo", trailing).few_steps == "Turbo"
    assert _folder(tmp_path / "turbo cars", {"_class_name": "EulerDiscreteScheduler"}).few_steps == ""
    assert _folder(tmp_path / "turbo v", {**trailing, "rescale_betas_zero_snr": True}).few_steps == ""
    assert _folder(tmp_path / "plain", trailing).few_steps == ""


def test_a_single_file(tmp_path):
    names = ("model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.a", "conditioner.embedders.1.a")
    turbo = read_checkpoint(safetensors(tmp_path / "sd_xl_turbo_1.0.safetensors", *names))
    assert (turbo.few_steps, turbo.steps, turbo.default_width, turbo.default_height) == ("Turbo", 4, 512, 512)
    plain = read_checkpoint(safetensors(tmp_path / "sd_xl_base_1.0.safetensors", *names))
    assert (plain.few_steps, plain.steps, plain.default_width) == ("", 25, 1024)


def test_the_makers_own_recommendation_comes_first(tmp_path):
    folder = make_model(tmp_path / "sd-turbo", own={"steps": 2})
    assert (read_model(folder).few_steps, read_model(folder).steps, read_model(folder).sampler) == ("Turbo", 2,
                                                                                                    "euler_a_trailing")
