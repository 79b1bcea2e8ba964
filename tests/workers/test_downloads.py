"""Downloads from a small hub on this machine: the real process, supervised as it is in Blender."""
from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import venv
from pathlib import Path

import pytest

from blender_sd.engine.models.folders import inspect_folder
from blender_sd.library.licences import Licence, licence_of
from blender_sd.core.errors import (
    ConnectionLost, EngineMissing, HubRefused, InvalidRequest, JobCancelled, LicenceNotAccepted, ModelNotFound,
    ModelUnreadable, OnlineAccessOff, OutputUnwritable,
)
from blender_sd.protocol.messages import EngineConfig, FETCH
from blender_sd.session.downloads import Downloads, clear_unfinished, unfinished_bytes
from blender_sd.library.models import find_models
from blender_sd.session.process import ProcessPipeline
from tests.support.engine import families, models, sd  # noqa: F401  (fixtures)
from tests.support.fake_hub import GOOD_TOKEN, FakeHub

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # each starts a process, and most lose a connection on purpose


def weights(size: int, **tensors) -> bytes:
    """A safetensors file of so many random bytes, with headers of other tensors if they are given."""
    header = json.dumps(tensors or {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size)


def entry(*shape: int, dtype: str = "F16") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]}


LARGE = weights(6 << 20)
CHUNK = 1 << 20  # what may be lost at a break
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
MODEL = {
    "model_index.json": b'{"_class_name": "AuraFlowPipeline", "unet": ["diffusers", "UNet2DConditionModel"], '
                        b'"vae": [null, null]}',
    "unet/config.json": b"{}",
    WEIGHTS: LARGE,
    "README.md": b"words",
    "image.png": b"a picture",
    "LICENSE": b"be good",}
LORA, OTHER_LORA = (weights(size, **{"lora_unet_x.lora_down.weight": entry(4, 320)}) for size in (1, 2))
WAIT = 60


@pytest.fixture
def hub(monkeypatch):
    hub = FakeHub()
    for name, value in hub.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield hub
    hub.close()


@pytest.fixture
def fetch(hub, tmp_path, monkeypatch):
    """Starts a download into tmp_path/models."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))  # a person's own token stays out of it
    downloads = Downloads()

    def fetch(repo="owner/model", file="", accepted=True, token="", python=sys.executable):
        pipeline = ProcessPipeline(python, EngineConfig(), role=FETCH)
        return downloads.start(pipeline, repo, file, folder=str(tmp_path / "models"), accepted=accepted, token=token)

    yield fetch
    downloads.shutdown()
    assert all(one.done for one in downloads.all)


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "models"


def offered(place: Path) -> list[str]:
    """What a person would see in the models folder."""
    return sorted(entry.name for entry in place.iterdir() if not entry.name.startswith(".")) if place.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def wait_for(one, count):
    """Until so many bytes are on disk."""
    while one.bytes_done < count:
        assert one._owner.wait(WAIT)
        one._owner.pump()


def cancelled(hub, fetch, after=3 << 20):
    """A download that was cancelled when so many bytes of its weights were sent, and all but the chunk begun were on
    disk."""
    hub.hold(WEIGHTS, after)
    one = fetch()
    wait_for(one, after - CHUNK)
    one.cancel()
    with pytest.raises(JobCancelled):
        one.result(WAIT)
    hub.held.clear()
    hub.go.set()
    return one


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


def test_after_a_cancel_only_the_rest_is_downloaded(hub, fetch, place):
    hub.add("owner/model", MODEL)
    one = cancelled(hub, fetch)
    assert one.state == "cancelled" and offered(place) == [] and not [
        m for m in find_models([str(place)]) if m.id != "starter"]
    kept = unfinished_bytes(str(place))
    assert kept >= 2 << 20
    hub.served.clear()
    again = fetch()
    assert Path(again.result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)
    assert hub.served["LICENSE"] == 0  # it was complete
    assert unfinished_bytes(str(place)) == 0


def test_a_resumed_download_keeps_to_the_revision_that_it_began_with(hub, fetch):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    hub.add("owner/model", {**MODEL, WEIGHTS: weights(6 << 20), "LICENSE": b"be better"})
    path = Path(fetch().result(WAIT))
    assert (path / WEIGHTS).read_bytes() == LARGE and (path / "LICENSE").read_bytes() == b"be good"


def test_where_the_hub_has_that_revision_no_longer_it_starts_again(hub, fetch):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    newer = weights(6 << 20)
    hub.add("owner/model", {**MODEL, WEIGHTS: newer})
    hub.older.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == newer


# a reset takes along what was not read yet
@pytest.mark.parametrize("reset, lost", [(False, 2 * CHUNK), (True, 3 << 20)])
def test_a_lost_connection_is_taken_up_again(hub, fetch, reset, lost):
    hub.add("owner/model", MODEL)
    hub.cut[WEIGHTS], hub.reset = [2 << 20, 1 << 20], reset
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) + lost


def test_a_connection_that_stays_lost_says_so_and_keeps_what_came(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.cut[WEIGHTS], hub.reset = [4 << 20, *[0] * 9], True
    hub.hold(WEIGHTS, 3 << 20)
    one = fetch()
    wait_for(one, 2 << 20)  # a broken connection takes with it what was not read yet
    hub.held.clear()
    hub.go.set()
    with pytest.raises(ConnectionLost, match="goes on where it stopped"):
        one.result(WAIT)
    assert one.state == "failed" and offered(place) == []
    hub.served.clear()
    hub.cut.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)


def test_a_server_that_cannot_resume_sends_the_file_again(hub, fetch, place):
    hub.add("owner/model", MODEL)
    part = place / ".fetching" / "owner--model" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:1000])
    hub.no_ranges = True
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] == len(LARGE)


def test_bytes_that_are_not_the_hubs_are_thrown_away(hub, fetch, place):
    """Such as those of a disk that lost power."""
    hub.add("owner/model", MODEL)
    part = place / ".fetching" / "owner--model" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 1000)
    one = fetch()
    assert Path(one.result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] == 2 * len(LARGE) - 1000 and one.bytes_done == one.bytes_total


def test_the_process_that_dies_is_one_download_that_failed(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.hold(WEIGHTS, 3 << 20)
    one = fetch()
    assert hub.reached.wait(WAIT)
    pipeline, _ = one._owner._running[one.id]
    os.kill(pipeline.pid, 9)
    with pytest.raises(Exception, match="The download stopped unexpectedly"):
        one.result(WAIT)
    hub.go.set()
    hub.held.clear()
    assert offered(place) == [] and Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE


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


def test_a_hub_that_does_not_answer(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the port of nobody
    with pytest.raises(ConnectionLost):
        fetch().result(WAIT)


def test_the_persons_own_offline_switch_is_honoured(hub, fetch, monkeypatch):
    hub.add("owner/model", MODEL)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OnlineAccessOff, match="HF_HUB_OFFLINE"):
        fetch().result(WAIT)
    assert not hub.seen


def test_a_disk_that_gets_full_leaves_nothing_that_looks_like_a_model(hub, fetch, place):
    """The limit on the size of files stands in for the disk's end: both are errors of a write."""
    hub.add("owner/model", MODEL)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    try:
        one = fetch()
        with pytest.raises(OutputUnwritable, match="is full.*goes on where it stopped"):
            one.result(WAIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert offered(place) == []
    hub.served.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)


def test_a_model_larger_than_the_disk_is_not_begun(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.claimed[WEIGHTS] = 1 << 60
    with pytest.raises(OutputUnwritable, match="too full: 115292150"):
        fetch().result(WAIT)
    assert offered(place) == [] and not hub.served[WEIGHTS]


def test_unfinished_downloads_can_be_deleted(hub, fetch, place):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    clear_unfinished(str(place))
    assert unfinished_bytes(str(place)) == 0 and not (place / ".fetching").exists()
    clear_unfinished(str(place))


def test_an_interpreter_without_the_library_is_named(hub, fetch, tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False, symlinks=os.name != "nt")
    python = next(path for folder in ("bin", "Scripts") for path in (bare / folder).glob("python*"))
    with pytest.raises(EngineMissing, match="cannot fetch: it has no package"):
        fetch(python=str(python)).result(WAIT)


def test_the_same_repository_is_not_downloaded_twice_at_once(hub, fetch):
    hub.add("owner/model", MODEL)
    hub.hold(WEIGHTS, 1 << 20)
    one = fetch()
    with pytest.raises(InvalidRequest, match="already"):
        fetch()
    assert hub.reached.wait(WAIT)
    hub.go.set()
    assert one.result(WAIT)
