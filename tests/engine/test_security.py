"""Hostile models, and an engine that nobody else can speak to: each test tries what docs/security.md says is held
off."""
from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.engine.models import shards, weight_files
from blender_sd.protocol import boot
from blender_sd.engine.conditioning.sources import open_source
from blender_sd.core.errors import ModelUnreadable, SDError, SourceUnusable
from blender_sd.protocol.messages import Failed, Finished, Generate, Hello, Loading, Ready, Shutdown, Source, Step
from blender_sd.core.parts import Control, Embedding, Lora
from tests.support.engine_process import CONFIG, Child
from tests.support.engine import small
from tests.support.open_sockets import listening
from tests.support.png_bytes import chunk, picture


class Evil:
    """Makes the canary's file where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary), "w")


@pytest.fixture
def canary(tmp_path) -> Path:
    yield (place := tmp_path / "CANARY")
    assert not place.exists(), "somebody's code was run"


@pytest.fixture
def copy(sd, tmp_path) -> Path:
    return Path(shutil.copytree(sd, tmp_path / "copy"))


def plant(file: Path, canary: Path, kind: str) -> str:
    """A hostile file: a plain pickle, torch's old form of it, or its zip."""
    if kind == "zip":
        torch.save({"state_dict": Evil(canary)}, file)
        assert zipfile.is_zipfile(file)
    elif kind == "old":
        torch.save({"state_dict": Evil(canary)}, file, _use_new_zipfile_serialization=False)
    else:
        file.write_bytes(pickle.dumps(Evil(canary)))
    return str(file)


def refused(run, request, tmp_path, **inputs) -> Failed:
    ending = run(request, inputs=inputs)[-1]
    assert isinstance(ending, Failed) and ending.kind != SDError.kind, ending
    assert not list(tmp_path.glob("*.png"))
    return ending


def test_the_trap_works(tmp_path):
    plant(tmp_path / "a.bin", tmp_path / "ran", "plain")
    pickle.loads((tmp_path / "a.bin").read_bytes()).close()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["plain", "old", "zip"])
@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.pth", "a.bin", "a.safetensors", "a.SafeTensors", "a.gguf", "a"])
def test_no_file_of_weights_is_unpickled(run, sd, tmp_path, canary, kind, name):
    file = plant(tmp_path / name, canary, kind)
    for request in (small(file), small(sd, loras=(Lora(file),)),
                    small(sd, embeddings=(Embedding("x", file),),
                          prompt="x"), small(sd, upscaler=file, refine_scale=2.0)):
        refused(run, request, tmp_path)
    with pytest.raises(SDError):
        weight_files.read(weight_files.existing(file, "IP-Adapter"), "IP-Adapter")


@pytest.mark.parametrize("kind", ["plain", "zip"])
def test_no_part_of_a_folder_is_unpickled(run, copy, tmp_path, canary, kind):
    """Pickles beside sound weights are left alone; without those, the model is refused."""
    weights = next((copy / "unet").glob("*.safetensors"))
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt", "diffusion_pytorch_model.pt"):
        plant(copy / "unet" / name, canary, kind)
    plant(copy / "text_encoder" / "pytorch_model.bin", canary, kind)
    for name in ("text_encoder", "tokenizer", "scheduler"):
        plant(copy / name / "vocab.pkl", canary, kind)
    assert isinstance(run(small(str(copy)))[-1], Finished)
    for picture_file in tmp_path.glob("*.png"):
        picture_file.unlink()
    plant(weights, canary, kind)  # a pickle under the name of safetensors
    refused(run, small(str(copy)), tmp_path)
    weights.unlink()
    assert "pickle" in refused(run, small(str(copy)), tmp_path).message


@pytest.mark.parametrize("name", ["../../evil.safetensors", "/etc/evil.safetensors", "..\\evil.safetensors", "C:evil.safetensors",  # noqa: E501
                                  "evil.bin", "evil.pt", 5, None])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_lists_of_parts_lead_nowhere_else(run, copy, tmp_path, canary, part, name):
    file = next((copy / part).glob("*.safetensors"))
    tensors = load_file(file)
    for place in (tmp_path / "evil.safetensors", copy / "evil.safetensors"):
        save_file(tensors, place)
    for place in (copy / part / "evil.bin", copy / part / "evil.pt"):
        plant(place, canary, "zip")
    file.unlink()
    (copy / part / f"{file.name}.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(tensors, name)}))
    refused(run, small(str(copy)), tmp_path)


def test_a_sound_list_of_parts_and_another_ones_weights(run, copy, tmp_path):
    file = next((copy / "unet").glob("*.safetensors"))
    shard = f"{file.stem}-00001-of-00001.safetensors"
    tensors = load_file(file)
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, shard)}
    (copy / "unet" / f"{file.name}.index.json").write_text(json.dumps(index))
    file.rename(copy / "unet" / shard)
    assert isinstance(run(small(str(copy)))[-1], Finished)
    config = copy / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "transformers_weights": "adapter_model.bin"}))
    with pytest.raises(ModelUnreadable, match="no safetensors file"):
        shards.check(copy / "text_encoder")


@pytest.mark.parametrize("what", ["module", "class", "pipeline", "auto_map", "library", "outside", "not a pipeline"])
def test_code_in_a_model_folder_is_never_run(run, copy, tmp_path, canary, monkeypatch, what):
    """`custom_pipeline`, `auto_map` and modules that the index names, as diffusers and transformers would import them
    if allowed to."""
    code = f"open({str(canary)!r}, 'w')\nclass Net: pass\nclass Evil: pass\n"
    for place in (copy, copy / "unet", copy / "text_encoder"):
        for name in ("evil.py", "pipeline.py", "modeling_evil.py", "unet.py", "__init__.py"):
            (place / name).write_text(code)
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(str(copy))
    index_file = copy / "model_index.json"
    index = json.loads(index_file.read_text())
    config_file = copy / "text_encoder" / "config.json"
    config = json.loads(config_file.read_text())
    if what == "module":
        index["unet"] = ["unet", "Net"]
    elif what == "class":
        index["unet"] = ["diffusers", "evil.Net"]
    elif what == "pipeline":
        index["_class_name"] = ["pipeline", "Evil"]
    elif what == "library":
        index["unet"] = ["TYPE_CHECKING", "Net"]  # a name that diffusers.pipelines has, which is no module
    elif what == "outside":
        index["../copy/unet"] = index.pop("unet")
    elif what == "not a pipeline":
        index["_class_name"] = "UNet2DConditionModel"
    else:
        config |= {
            "auto_map": {"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}, "model_type": "evil"}
        index["text_encoder"] = ["transformers", "AutoModel"]
    index_file.write_text(json.dumps(index))
    config_file.write_text(json.dumps(config))
    refused(run, small(str(copy)), tmp_path)


def test_a_hostile_controlnet(run, sd, copy, tmp_path, canary):
    net = tmp_path / "net"
    net.mkdir()
    (net / "config.json").write_text(
        json.dumps({"_class_name": "ControlNetModel", "auto_map": {"AutoModel": "evil.Evil"}}))
    (net / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    plant(net / "diffusion_pytorch_model.bin", canary, "zip")
    grey = Source(encoded=picture(width=64, height=64))
    request = small(sd, controls=(Control("depth", str(net)),))
    assert "pickle" in refused(run, request, tmp_path, control0=grey).message
    plant(net / "diffusion_pytorch_model.safetensors", canary, "zip")
    refused(run, request, tmp_path, control0=grey)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_headers_of_any_length_are_refused_before_they_are_read(run, sd, tmp_path, length):
    file = tmp_path / "a.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b'{"a":')
    refused(run, small(str(file)), tmp_path)
    refused(run, small(sd, loras=(Lora(str(file)),)), tmp_path)


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    picture(width=100_000, height=100_000), picture(width=2**31 - 1, height=2**31 - 1),
    picture(*(chunk(b"zTXt", b"k%d\0\0" % number + zlib.compress(bytes(1 << 20))) for number in range(200)), width=16, height=16),  # noqa: E501
], ids=["large", "larger", "texts"])
def test_pictures_that_would_fill_the_memory(data):
    try:
        assert open_source(Source(encoded=data))[0].size == (16, 16)
    except SourceUnusable as error:
        assert any(words in error.message for words in ("cannot be read", "pixels", "damaged"))


def test_a_picture_is_never_given_to_another_program():
    """Pillow hands PostScript to Ghostscript; such files are no pictures here."""
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
    with pytest.raises(SourceUnusable):
        open_source(Source(encoded=script))
    assert Image.MAX_IMAGE_PIXELS


# ---- the process -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's tables of sockets")
def test_an_engine_at_work_listens_nowhere_and_knows_no_token(sd, tmp_path, monkeypatch):
    from blender_sd.session import child as session

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_canary")
    child = Child(env=session.environment())
    try:
        child.send(Hello(CONFIG))
        assert isinstance(child.read(), Ready), child.log
        child.send(Generate("1", small(sd, steps=200), sd, str(tmp_path)))
        while not isinstance(event := child.read(), Step):
            assert isinstance(event, (Loading, Step)) or not isinstance(event, Failed), event
        pid = child.process.pid
        assert listening(pid) == []
        assert b"hf_canary" not in Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"HF_HUB_OFFLINE=1" in Path(f"/proc/{pid}/environ").read_bytes()
        child.send(Shutdown())
        child.exit()
    finally:
        child.close()


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX's")
def test_what_the_engine_starts_does_not_inherit_its_pipes():
    """A library's helper program, started with every descriptor left open, sees neither the orders nor the way back."""
    code = ("import importlib.util, os, subprocess, sys\n"
            f"spec = importlib.util.spec_from_file_location('boot', {boot.__file__!r})\n"
            "boot = importlib.util.module_from_spec(spec); spec.loader.exec_module(boot)\n"
            "reader, writer = boot.private_streams()\n"
            "look = 'import os; print([(n, os.readlink(f\"/proc/self/fd/{n}\")) for n in os.listdir(\"/proc/self/fd\")"
            " if os.path.exists(f\"/proc/self/fd/{n}\")])'\n"
            "seen = subprocess.run([sys.executable, '-c', look], close_fds=False, stdout=subprocess.PIPE).stdout\n"
            "mine = [os.readlink(f'/proc/self/fd/{one.fileno()}') for one in (reader, writer)]\n"
            "assert not any(name.encode() in seen for name in mine), (mine, seen)\n"
            "writer.write(b'sound'); writer.flush(); os._exit(0)\n")
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"sound"), done.stderr
