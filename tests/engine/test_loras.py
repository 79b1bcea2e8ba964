"""LoRAs, made in code for the tiny models in both of the names that are common: put on, weighed, stacked, and taken off without a trace."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import small
from PIL import Image
from safetensors.torch import save_file

from blender_sd.protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Step
from blender_sd.protocol.parts import Lora

pytestmark = pytest.mark.slow

RANK = 4


def attention_layers(model: str) -> dict[str, tuple[int, int]]:
    """The UNet's query and key projections: their names, and how wide they come in and go out."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    return {name: (part.in_features, part.out_features) for name, part in unet.named_modules() if name.endswith(("to_q", "to_k"))}


def write(model: str, file, names: str, seed: int = 0) -> str:
    """A LoRA with an effect for `model`, in "kohya" or "diffusers" names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (wide, out) in attention_layers(model).items():
        down, up = torch.randn(RANK, wide, generator=generator), torch.randn(out, RANK, generator=generator)
        if names == "kohya":
            stem = "lora_unet_" + layer.replace(".", "_")
            tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(float(RANK))}
        else:
            tensors |= {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
    save_file(tensors, file)
    return str(file)


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


@pytest.mark.parametrize("name", ["sd", "sdxl", "taesd"])
@pytest.mark.parametrize("names", ["kohya", "diffusers"])
def test_a_lora_changes_the_picture_and_leaves_no_trace(request, run, tmp_path, name, names):
    model = request.getfixturevalue(name)
    file = write(model, tmp_path / "brick.safetensors", names)
    plain = made(run(small(model)))
    assert not np.array_equal(plain, made(run(small(model, loras=(Lora(file),)))))
    assert np.array_equal(plain, made(run(small(model)))), "taken off again, bit for bit"
    assert np.array_equal(plain, made(run(small(model, loras=(Lora(file, 0.0),)))))


def test_both_names_mean_the_same(run, sd, tmp_path):
    files = [write(sd, tmp_path / f"{names}.safetensors", names) for names in ("kohya", "diffusers")]
    pictures = [made(run(small(sd, loras=(Lora(file),)))) for file in files]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_weights_count_and_loras_add_up(run, sd, tmp_path):
    one, two = (write(sd, tmp_path / f"{seed}.safetensors", "diffusers", seed) for seed in (1, 2))
    pictures = {key: made(run(small(sd, loras=key))) for key in (
        (Lora(one),), (Lora(one, 0.5),), (Lora(two),), (Lora(one), Lora(two)), (Lora(one), Lora(two, 0.0)))}
    distinct = {picture.tobytes() for picture in pictures.values()}
    assert len(distinct) == 4 and np.array_equal(pictures[(Lora(one),)], pictures[(Lora(one), Lora(two, 0.0))])
    assert np.array_equal(pictures[(Lora(one), Lora(two))], made(run(small(sd, loras=(Lora(one), Lora(two))))))


def test_a_batch_loads_its_loras_once(run, sd, tmp_path, monkeypatch):
    from blender_sd.engine import weight_files

    loaded = []
    monkeypatch.setattr(weight_files, "read", lambda file, what, real=weight_files.read: loaded.append(file) or real(file, what))
    order = small(sd, loras=(Lora(write(sd, tmp_path / "a.safetensors", "diffusers")),))
    made(run(order))
    made(run(order))
    assert len(loaded) == 1
    write(sd, tmp_path / "a.safetensors", "diffusers", seed=9)
    made(run(order))
    assert len(loaded) == 2, "a file that has changed is read anew"


@pytest.mark.parametrize(("what", "kind", "words"), [
    ("foreign", InvalidRequest, "does not fit"), ("nothing of a LoRA", InvalidRequest, "does not fit"),
    ("truncated", ModelUnreadable, "broken"), ("pickle", ModelUnreadable, "no safetensors"), ("missing", ModelNotFound, "no LoRA file"),
])
def test_what_does_not_fit_is_refused_and_nothing_stays(request, run, sd, tmp_path, what, kind, words):
    plain = made(run(small(sd)))
    good = write(sd, tmp_path / "good.safetensors", "diffusers")
    file = tmp_path / "bad.safetensors"
    if what == "foreign":
        write(request.getfixturevalue("sdxl"), file, "diffusers")
    elif what == "nothing of a LoRA":
        save_file({"weight": torch.zeros(3)}, file)
    elif what == "truncated":
        file.write_bytes((tmp_path / "good.safetensors").read_bytes()[:200])
    elif what == "pickle":
        file = file.with_suffix(".pt")
        torch.save({}, file)
    events = run(small(sd, loras=(Lora(good), Lora(str(file)))))
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    assert not [event for event in events if isinstance(event, Step)]
    assert np.array_equal(plain, made(run(small(sd))))
