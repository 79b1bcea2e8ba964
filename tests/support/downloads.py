"""A small hub on this machine, downloads from it in the real process, and what is on disk afterwards."""
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from blender_sd.core.errors import JobCancelled
from blender_sd.protocol.messages import EngineConfig, FETCH
from blender_sd.session.downloads import Downloads
from blender_sd.session.process import ProcessPipeline
from tests.support.fake_hub import FakeHub


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
