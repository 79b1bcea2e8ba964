"""A reference image by IP-Adapter, on tiny models: it counts, by its weight, in every pass, and leaves no trace."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import small
from PIL import Image
from safetensors.torch import save_file

from blender_sd.engine import Engine, ladder
from blender_sd.protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from blender_sd.protocol.messages import Failed, Finished, Generate, Source
from blender_sd.protocol.rungs import FP8, OFFLOAD, RUNGS, STREAM

pytestmark = pytest.mark.slow

FEATURES = 24  # of the tiny image encoder


def adapter(model: str, folder, seed: int = 0, encoder: bool = True) -> str:
    """An IP-Adapter with an effect for the UNet model in the folder `model`, and its image encoder beside it; its file."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    generator = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    wide = unet.config.cross_attention_dim
    tensors = {"image_proj.proj.weight": torch.randn(4 * wide, FEATURES, generator=generator),
               "image_proj.proj.bias": torch.zeros(4 * wide), "image_proj.norm.weight": torch.ones(wide),
               "image_proj.norm.bias": torch.zeros(wide)}
    layers = [name.removesuffix(".processor") for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        out = unet.get_submodule(name).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(out, wide, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter.safetensors")
    if encoder:
        torch.manual_seed(seed)
        CLIPVisionModelWithProjection(CLIPVisionConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
            projection_dim=FEATURES)).save_pretrained(folder / "image_encoder")
    return str(folder / "adapter.safetensors")


def shown(seed: int) -> Source:
    return Source(pixels=np.random.default_rng(seed).integers(0, 256, (48, 40, 4), np.uint8))


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


@pytest.mark.parametrize("name", ["sd", "sdxl", "taesd"])
def test_the_reference_counts_by_its_weight_and_leaves_no_trace(request, run, tmp_path, name):
    model = request.getfixturevalue(name)
    file = adapter(model, tmp_path / "ip")

    def paint(seed, weight, **changes):
        return made(run(small(model, ip_adapter=file, ip_adapter_weight=weight, **changes), inputs={"reference": shown(seed)}))

    plain = made(run(small(model)))
    one = paint(1, 1.0)
    assert len({picture.tobytes() for picture in (plain, one, paint(2, 1.0), paint(1, 0.4), paint(1, 1.0, guidance=1.0))}) == 5
    assert np.array_equal(one, paint(1, 1.0))
    assert np.array_equal(plain, made(run(small(model))))


def test_every_pass_and_task_takes_it(run, sd, tmp_path):
    file = adapter(sd, tmp_path / "ip")
    reference = {"reference": shown(1)}
    made(run(small(sd, ip_adapter=file, refine_scale=2.0, refine_strength=0.7), inputs=reference))
    source = shown(3)
    mask = {"mask": Source(pixels=np.full((48, 40, 4), 255, np.uint8))}
    for task, changes in (("image_to_image", {}), ("upscale", {"width": 96, "height": 80, "tile": 64}), ("inpaint", {})):
        inputs = {**reference, "source": source, **(mask if task == "inpaint" else {})}
        order = small(sd, task=task, strength=0.7, **{"width": 40, "height": 48, **changes})
        without = made(run(order, inputs={key: value for key, value in inputs.items() if key != "reference"}))
        assert not np.array_equal(without, made(run(type(order)(**{**vars(order), "ip_adapter": file}), inputs=inputs))), task


@pytest.mark.parametrize("rung", [OFFLOAD, STREAM, FP8])
def test_it_works_where_memory_is_short(monkeypatch, sd, tmp_path, rung):
    monkeypatch.setattr(ladder, "on", lambda device: tuple(RUNGS))
    low = Engine(device="cpu", threads=1, memory_use=rung)
    file, pictures = adapter(sd, tmp_path / "ip"), []
    for order in (small(sd), small(sd, ip_adapter=file), small(sd)):
        events = []
        low.run(Generate("job", order, sd, str(tmp_path), {"reference": shown(1)}), events.append, lambda: False)
        pictures.append(made(events))
    assert np.array_equal(pictures[0], pictures[2]) and not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(("what", "kind", "words"), [
    ("foreign", InvalidRequest, "does not fit"), ("truncated", ModelUnreadable, "broken"), ("no encoder", ModelNotFound, "image encoder"),
    ("no image", SourceUnusable, "no reference image"), ("missing", ModelNotFound, "no IP-Adapter"),
    ("transformer", InvalidRequest, "do not work"),
])
def test_what_does_not_work_is_said_and_nothing_stays(request, run, sd, tmp_path, what, kind, words):
    plain = made(run(small(sd)))
    file = adapter(request.getfixturevalue("sdxl") if what == "foreign" else sd, tmp_path / "ip", encoder=what != "no encoder")
    if what == "truncated":
        with open(file, "r+b") as data:
            data.truncate(300)
    model = request.getfixturevalue("sd3") if what == "transformer" else sd
    inputs = {} if what == "no image" else {"reference": shown(1)}
    events = run(small(model, ip_adapter="nothing.safetensors" if what == "missing" else file), inputs=inputs)
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    assert np.array_equal(plain, made(run(small(sd))))
