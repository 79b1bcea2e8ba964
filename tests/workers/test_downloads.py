"""Downloads from a small hub on this machine: the real process, supervised as it is in Blender."""
from __future__ import annotations

import json
import os
import shutil
import sys
import venv
from pathlib import Path

import pytest

from blender_sd.engine.models.folders import inspect_folder
from blender_sd.library.licences import Licence, licence_of
from blender_sd.core.errors import (
    EngineMissing, HubRefused, InvalidRequest, LicenceNotAccepted, ModelNotFound, ModelUnreadable, OnlineAccessOff,
)
from blender_sd.library.models import find_models
from tests.support.downloads import LARGE, LORA, MODEL, OTHER_LORA, WAIT, WEIGHTS, contents, entry, offered, weights
from tests.support.downloads import fetch, hub, place  # noqa: F401  (fixtures)
from tests.support.engine import families, models, sd  # noqa: F401  (fixtures)
from tests.support.fake_hub import GOOD_TOKEN

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # each starts a process


def test_a_model_comes_with_what_diffusers_needs_and_no_more(hub, fetch, place):
    hub.add("owner/model", MODEL)
    one = fetch()
    path = Path(one.result(WAIT))
    assert path == place / "owner--model" and one.state == "finished" and one.progress == 1
    got = contents(path)
    note = json.loads(got.pop("blender_sd.json"))
    assert (note["licence"], note["link"], note["repo"]) == ("apache-2.0", "https://huggingface.co/owner/model",
                                                             "owner/model")
    assert len(note["revision"]) == 40 and licence_of(str(path)) == Licence("apache-2.0",
                                                                            "https://huggingface.co/owner/model")
    assert got == {name: MODEL[name] for name in ("model_index.json", "unet/config.json", WEIGHTS, "LICENSE")}
    assert one.bytes_total == sum(map(len, got.values())) == one.bytes_done
    assert (one.licence, one.link) == ("apache-2.0", "https://huggingface.co/owner/model")
    assert offered(place) == ["owner--model"] and not list((place / ".fetching").glob("*/*"))
    assert not any("authorization" in headers for _, headers in hub.seen)
    assert {path.split("/")[1] for path, _ in hub.seen} == {"api", "owner", "cdn"}  # nothing else was asked for


def test_what_is_there_is_not_asked_for_again(hub, fetch):
    hub.add("owner/model", MODEL)
    first = fetch().result(WAIT)
    hub.seen.clear()
    one = fetch()
    assert one.state == "finished" and one.path == first and not hub.seen


def test_a_tiny_model_is_found_and_can_be_loaded(hub, fetch, place, sd):
    hub.add("owner/tiny", contents(Path(sd)))
    path = fetch("owner/tiny").result(WAIT)
    (info,) = [info for info in find_models([str(place)]) if info.id != "starter"]
    assert (info.id, info.name, info.family) == (path, "owner/tiny", "SD 1.5")
    assert inspect_folder(Path(path)).pipeline == "StableDiffusionPipeline"


# ---- what the hub, the person and the disk can refuse ----------------------------------------------------------------


def test_nothing_is_downloaded_before_the_licence_is_accepted(hub, fetch, place):
    hub.add("owner/model", MODEL, card={"license": "other", "license_name": "house-rules", "license_link": "LICENSE"})
    one = fetch(accepted=False)
    with pytest.raises(LicenceNotAccepted, match="house-rules") as caught:
        one.result(WAIT)
    assert one.link == "https://huggingface.co/owner/model/blob/main/LICENSE" and one.link in caught.value.hint
    assert one.bytes_total > len(LARGE) and not hub.served[WEIGHTS] and not place.exists()


def test_a_model_card_without_a_licence_says_so(hub, fetch):
    hub.add("owner/model", MODEL, card={})
    with pytest.raises(LicenceNotAccepted, match="its page names none"):
        fetch(accepted=False).result(WAIT)


def test_a_gated_repository_needs_a_token(hub, fetch, monkeypatch, tmp_path):
    hub.add("owner/model", MODEL, gated=True)
    with pytest.raises(HubRefused, match="accepted its licence.*https://huggingface.co/owner/model.*token"):
        fetch().result(WAIT)
    with pytest.raises(HubRefused):
        fetch(token="hf_of_another_account").result(WAIT)
    assert fetch(token=GOOD_TOKEN).result(WAIT)
    shutil.rmtree(tmp_path / "models")
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert fetch().result(WAIT)
    # another host's
    assert not any("authorization" in headers for path, headers in hub.seen if path.startswith("/cdn/"))


@pytest.mark.parametrize("token", ["hf_secret\nX-Evil: 1", "hf_sécret", "hf_secret two"])
def test_a_token_is_never_shown(hub, fetch, caplog, token):
    caplog.set_level("INFO", "blender_sd")
    hub.add("owner/model", MODEL)
    one = fetch(token=token)
    with pytest.raises(InvalidRequest, match="no token has") as caught:
        one.result(WAIT)
    output = f"{caught.value} {caught.value.detail} {one!r} {caplog.text}"
    assert "secret" not in output and "sécret" not in output and not hub.seen


def test_a_good_token_is_in_no_log_and_no_argument(hub, fetch, caplog):
    caplog.set_level("INFO", "blender_sd")
    hub.add("owner/model", MODEL, gated=True)
    hub.hold(WEIGHTS, 1 << 20)
    one = fetch(token=GOOD_TOKEN)
    assert hub.reached.wait(WAIT)
    pipeline, _ = one._owner._running[one.id]
    if sys.platform == "linux":
        output = Path(f"/proc/{pipeline.pid}/cmdline").read_bytes() + Path(f"/proc/{pipeline.pid}/environ").read_bytes()
        assert GOOD_TOKEN.encode() not in output
    hub.go.set()
    one.result(WAIT)
    assert GOOD_TOKEN not in caplog.text


def test_nothing_is_asked_without_encryption(hub, fetch, place, monkeypatch):
    """Neither a mirror of that kind nor the place that a hub leads to; a mirror on this computer is another matter."""
    hub.add("owner/model", MODEL)
    hub.cdn = "http://cdn.example"
    with pytest.raises(HubRefused, match="cdn.example is asked without encryption"):
        fetch(token=GOOD_TOKEN).result(WAIT)
    assert offered(place) == []
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(HubRefused, match="hub.example is asked without encryption.*https://"):
        fetch("owner/other", token=GOOD_TOKEN).result(WAIT)


def test_a_missing_repository_is_named(hub, fetch):
    with pytest.raises(ModelNotFound, match="no repository owner/nothing"):
        fetch("owner/nothing").result(WAIT)


def test_a_missing_file_names_what_there_is(hub, fetch):
    hub.add("owner/loras", {"a.safetensors": b"a", "b.safetensors": b"b"})
    with pytest.raises(ModelNotFound, match="a.safetensors, b.safetensors"):
        fetch("owner/loras", "c.safetensors").result(WAIT)
    with pytest.raises(ModelNotFound, match="owner/loras/a.safetensors"):
        fetch("owner/loras").result(WAIT)


def test_one_file_and_then_another_of_the_same_repository(hub, fetch, place):
    hub.add("owner/loras", {"a.safetensors": LORA, "sub/b.safetensors": OTHER_LORA})
    assert fetch("owner/loras", "a.safetensors").result(WAIT) == str(place / "owner--loras" / "a.safetensors")
    note = place / "owner--loras" / "blender_sd.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "size": 512}))
    second = fetch("owner/loras", "sub/b.safetensors").result(WAIT)
    assert Path(second).read_bytes() == OTHER_LORA and (place / "owner--loras" / "a.safetensors").read_bytes() == LORA
    assert {licence_of(file).name for file in (second, str(place / "owner--loras" / "a.safetensors"))} == {"apache-2.0"}
    assert json.loads(note.read_text())["size"] == 512, "what a person wrote there stays"


@pytest.mark.parametrize(("file", "tensors", "words"), [
    ("flux-nf4.safetensors", {"double_blocks.0.img_mod.lin.weight.absmax": entry(8, dtype="F32"),
                              "single_blocks.0.modulation.lin.weight": entry(9, 1, dtype="U8")}, "packed as bitsandbytes"),  # noqa: E501
    ("refiner.safetensors", {"model.diffusion_model.input_blocks.0.0.weight": entry(320, 4, 3, 3),
                             "conditioner.embedders.0.model.ln_final.bias": entry(1)}, "it is the SDXL refiner"),
    ("te.safetensors", {"text_model.encoder.layers.0.layer_norm1.bias": entry(768)}, "it is a text encoder"),
    ("pix2pix.safetensors", {"model.diffusion_model.input_blocks.0.0.weight": entry(320, 8, 3, 3)}, "InstructPix2Pix")])
def test_a_file_that_could_not_be_read_is_refused_before_it_is_downloaded(hub, fetch, place, file, tensors, words):
    hub.add("owner/model", {file: weights(4 << 20, **tensors), "README.md": b"x"})
    with pytest.raises(ModelUnreadable, match=words):
        fetch("owner/model", file).result(WAIT)
    assert not hub.served[file] and hub.peeked[file] <= 1 << 17 and offered(place) == []


def test_a_model_whose_part_is_packed_is_refused_before_it_is_downloaded(hub, fetch, place):
    hub.add("owner/model", {**MODEL, WEIGHTS: weights(4 << 20, **{"a.weight.absmax": entry(1), "a.weight": entry(1)})})
    with pytest.raises(ModelUnreadable, match="part 'unet' is packed as bitsandbytes"):
        fetch().result(WAIT)
    config = json.dumps({"quantization_config": {"quant_method": "svdquant"}}).encode()
    hub.add("owner/model", {**MODEL, "unet/config.json": config})
    with pytest.raises(ModelUnreadable, match="part 'unet' is packed as svdquant"):
        fetch().result(WAIT)
    hub.add("owner/model", {**MODEL, "model_index.json": b'{"_class_name": "WanPipeline"}'})
    with pytest.raises(ModelUnreadable, match="Models of the pipeline WanPipeline cannot be used here"):
        fetch().result(WAIT)
    hub.add("owner/model", {**MODEL, WEIGHTS: b"<html>" * 1000})
    with pytest.raises(ModelUnreadable, match="no complete safetensors file"):
        fetch().result(WAIT)
    assert not hub.served[WEIGHTS] and offered(place) == []


def test_only_pickles_are_refused(hub, fetch):
    hub.add("owner/model", {**MODEL, WEIGHTS: b""} | {"unet/diffusion_pytorch_model.bin": b"pickle"})
    del hub.repos["owner/model"].files[WEIGHTS]
    with pytest.raises(ModelUnreadable, match="pickle"):
        fetch().result(WAIT)


def test_the_persons_own_offline_switch_is_honoured(hub, fetch, monkeypatch):
    hub.add("owner/model", MODEL)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OnlineAccessOff, match="HF_HUB_OFFLINE"):
        fetch().result(WAIT)
    assert not hub.seen


def test_an_interpreter_without_the_library_is_named(hub, fetch, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False, symlinks=os.name != "nt")
    python = next(path for folder in ("bin", "Scripts") for path in (bare / folder).glob("python*"))
    with pytest.raises(EngineMissing, match="cannot fetch: it has no package"):
        fetch(python=str(python)).result(WAIT)
