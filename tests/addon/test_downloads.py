"""Models from the hub, as the panel asks for them: a real process, a small hub on this machine."""
from __future__ import annotations

import json
from dataclasses import replace

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import downloads as downloads_calls, models
from blender_sd.calls.runtime import runtime
from blender_sd.addon import downloads, preference_access, tick
from blender_sd.core.errors import LicenceNotAccepted, OnlineAccessOff
from blender_sd.library import logs
from blender_sd.library.accepted_licences import Licences
from tests.support.addon import drain
from tests.support.fake_hub import GOOD_TOKEN, FakeHub

pytestmark = pytest.mark.newest


def padded(size: int) -> bytes:
    """A safetensors file of `size` bytes without tensors."""
    return (size - 8).to_bytes(8, "little") + b"{}".ljust(size - 8)


FILES = {
    "model_index.json": json.dumps({
        "_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"]}).encode(),
    "unet/config.json": json.dumps({"block_out_channels": [32, 64], "sample_size": 16}).encode(),
    "vae/config.json": json.dumps({"block_out_channels": [8] * 4}).encode(), "text_encoder/config.json": b"{}",
    "tokenizer/vocab.json": b"{}", "tokenizer/merges.txt": b"", "scheduler/scheduler_config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": padded(1 << 10), "text_encoder/model.safetensors": padded(1 << 10),
    "unet/diffusion_pytorch_model.safetensors": padded(4 << 20)}
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def server(addon, monkeypatch, tmp_path):
    """A hub with one model; Blender online; no licence accepted yet."""
    server = FakeHub()
    server.add("owner/model", FILES, card={"license": "openrail++"})
    for name, value in {**server.environment(), "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime, "config", replace(runtime.config, downloads=str(tmp_path / "models")))
    monkeypatch.setattr(runtime, "_licences", Licences(str(tmp_path / "licences.json")))
    system = bpy.context.preferences.system
    before, system.use_online_access = system.use_online_access, True
    yield server
    runtime.shutdown()
    system.use_online_access = before
    server.close()


@pytest.fixture
def shown(server):
    shown = downloads.state()
    shown.choice, shown.repo = downloads.OTHER, "https://huggingface.co/owner/model/tree/main"
    return shown


def finish() -> None:
    """Ticks until no download runs."""
    while not all(one.done for one in downloads_calls.downloads()):
        runtime.downloads.wait(10)
        tick.tick()
    tick.tick()


def test_offline_blender_asks_nobody_and_names_the_preference(shown, server):
    bpy.context.preferences.system.use_online_access = False
    assert not bpy.ops.sd.fetch.poll()
    with pytest.raises(OnlineAccessOff, match="Allow Online Access"):
        downloads_calls.fetch("owner/model", accept_licence=True)
    assert not server.seen and not downloads_calls.downloads()


def test_look_up_then_accept_then_download(shown, server, addon, tmp_path):
    assert not shown.may_accept() and not shown.accepted()
    bpy.ops.sd.fetch()
    finish()
    assert (shown.unaccepted, shown.licence, shown.error) == ("owner/model", "openrail++", "") and shown.may_accept()
    assert server.served[WEIGHTS] == 0 and shown.link == "https://huggingface.co/owner/model"
    bpy.ops.sd.fetch()
    assert shown.running
    finish()
    folder = str(tmp_path / "models" / "owner--model")
    assert (addon.model, addon.width, shown.running, shown.progress) == (folder, 128, False, 1)
    assert "owner/model" in {info.name for info in models.models()} and shown.text == "owner/model is here"
    assert shown.accepted() and "owner/model" in Licences(str(tmp_path / "licences.json"))


def test_an_accepted_licence_is_not_asked_for_again(shown, server, tmp_path):
    runtime._licences.accept("owner/model", "openrail++")
    bpy.ops.sd.fetch()
    finish()
    assert downloads_calls.downloads()[-1].state == "finished"


def test_cancel_keeps_what_came_and_it_can_be_deleted(shown, server, tmp_path):
    runtime._licences.accept("owner/model", "openrail++")
    server.hold(WEIGHTS, 3 << 20)
    bpy.ops.sd.fetch()
    one = downloads_calls.downloads()[-1]
    while one.bytes_done < 2 << 20:
        assert runtime.downloads.wait(30)
        tick.tick()
    assert shown.running and 0.4 < shown.progress < 1 and "of 4 MB" in shown.text
    assert not bpy.ops.sd.fetch.poll() and not bpy.ops.sd.clear_unfinished.poll()
    bpy.ops.sd.cancel_fetch()
    finish()
    assert one.state == "cancelled" and shown.unfinished and shown.text.startswith(
        "Stopped at") and not bpy.ops.sd.cancel_fetch.poll()
    assert [info.id for info in models.refresh_models()] == ["starter"]
    bpy.ops.sd.clear_unfinished()
    assert not shown.unfinished and not list((tmp_path / "models").iterdir())


def test_online_access_switched_off_ends_the_download(shown, server):
    runtime._licences.accept("owner/model", "openrail++")
    server.hold(WEIGHTS, 1 << 20)
    bpy.ops.sd.fetch()
    assert server.reached.wait(60)
    bpy.context.preferences.system.use_online_access = False
    tick.tick()
    finish()
    assert downloads_calls.downloads()[-1].state == "failed" and "Allow Online Access" in shown.hint


def test_a_failure_is_shown_with_its_remedy(shown, server):
    server.repos["owner/model"].gated = True
    bpy.ops.sd.fetch()
    finish()
    assert "gated" in shown.error and "https://huggingface.co/owner/model" in shown.hint and shown.unaccepted == ""
    shown.repo = "nonsense"
    with pytest.raises(RuntimeError, match="no repository"):
        bpy.ops.sd.fetch()
    assert "owner/name" in shown.hint
    shown.repo = ""
    assert not bpy.ops.sd.fetch.poll()


def test_scripts_wait_for_the_result(server, tmp_path):
    with pytest.raises(LicenceNotAccepted):
        downloads_calls.fetch("owner/model").result(60)
    one = downloads_calls.fetch("owner/model", accept_licence=True)
    assert one.result(60) == str(tmp_path / "models" / "owner--model") == downloads_calls.fetch("owner/model").result(1)
    assert models.find_model("owner/model").family == "SDXL"
    assert "owner/model" in {info.name for info in models.models()}, "the list of models was read before it came"


def test_a_controlnet_becomes_the_one_that_is_chosen(shown, server, addon):
    server.add("owner/depth", {"config.json": b'{"_class_name": "ControlNetModel", "cross_attention_dim": 768}',
                               "diffusion_pytorch_model.safetensors": padded(64)})
    runtime._licences.accept("owner/depth", "mit")
    shown.repo, model = "owner/depth", addon.model
    bpy.ops.sd.fetch()
    finish()
    (control,) = addon.controls
    assert control.model == "owner/depth" and not control.enabled and addon.model == model
    control.model = "starter"
    bpy.ops.sd.fetch()
    finish()
    assert [one.model for one in addon.controls] == ["owner/depth"], "the selected control takes it"


def test_the_token_is_a_preference_and_in_no_file_or_words(shown, server, addon, tmp_path):
    entry = bpy.context.preferences.addons.new()
    entry.module = preference_access.PACKAGE
    try:
        prefs = entry.preferences
        assert prefs.bl_rna.properties["hub_token"].subtype == "PASSWORD"
        prefs.downloads, prefs.output, prefs.hub_token = str(tmp_path / "models"), str(tmp_path / "output"), GOOD_TOKEN
        assert runtime.config.hub_token == GOOD_TOKEN and GOOD_TOKEN not in repr(runtime.config)
        server.repos["owner/model"].gated = True
        downloads_calls.fetch("owner/model", accept_licence=True).result(60)
        file = tmp_path / "scene.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(file), compress=False)
        assert GOOD_TOKEN.encode() not in file.read_bytes()
        log = logs.path()
        assert log is None or GOOD_TOKEN not in log.read_text()
    finally:
        bpy.context.preferences.addons.remove(entry)
        sd.configure(hub_token="")


def test_shutting_down_ends_downloads(shown, server):
    runtime._licences.accept("owner/model", "openrail++")
    server.hold(WEIGHTS, 1 << 20)
    bpy.ops.sd.fetch()
    assert server.reached.wait(60)
    one = downloads_calls.downloads()[-1]
    sd.shutdown()
    assert one.state == "cancelled" and downloads_calls.downloads() == []


def test_jobs_and_downloads_do_not_wait_for_each_other(shown, server, addon, pipeline):
    runtime._licences.accept("owner/model", "openrail++")
    server.hold(WEIGHTS, 1 << 20)
    bpy.ops.sd.fetch()
    assert server.reached.wait(60)
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    assert sd.jobs()[-1].state == "finished" and not downloads_calls.downloads()[-1].done
    server.go.set()
    finish()
    assert downloads_calls.downloads()[-1].state == "finished"
