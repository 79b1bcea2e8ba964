"""A reference image by IP-Adapter, on tiny models: it counts, by its weight, in every pass, and leaves no trace."""
from __future__ import annotations

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.engine import Engine
from blender_sd.engine.memory import memory_modes
from blender_sd.engine.conditioning.reference import ENCODER
from blender_sd.core.nets import IP_ADAPTER
from blender_sd.library.checkpoints import Kind, kind_of, read_header
from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from blender_sd.core.families import FAMILIES
from blender_sd.protocol.messages import Failed, Finished, Generate, Source, Step
from blender_sd.core.parts import Control
from blender_sd.core.tasks import INPAINT, TEXT_TO_IMAGE
from blender_sd.core.memory_modes import FP8, OFFLOAD, MEMORY_MODES, STREAM
from blender_sd.library.controlnets import read_controlnet
from blender_sd.library.models import read_model
from tests.support import tiny_controlnets
from tests.support.engine import small
from tests.support.tiny_adapters import FEATURES, adapter, clip_vision, siglip_vision

pytestmark = pytest.mark.slow


def shown(seed: int) -> Source:
    return Source(pixels=np.random.default_rng(seed).integers(0, 256, (48, 40, 4), np.uint8))


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


@pytest.mark.parametrize("name", ["sd", "sdxl", "taesd", "flux", "flux_kontext", "sd3"])
def test_the_reference_counts_by_its_weight_and_leaves_no_trace(families, run, tmp_path, name):
    model = families(name)
    file = adapter(model, tmp_path / "ip")

    def paint(seed, weight, **changes):
        return made(
            run(small(model, ip_adapter=file, ip_adapter_weight=weight, **changes), inputs={"reference": shown(seed)}))

    plain = made(run(small(model)))
    one = paint(1, 1.0)
    assert len({
        picture.tobytes() for picture in (plain, one, paint(2, 1.0), paint(1, 0.4), paint(1, 1.0, guidance=1.0))}) == 5
    assert np.array_equal(one, paint(1, 1.0))
    assert np.array_equal(plain, made(run(small(model))))


@pytest.mark.parametrize("name", ["sd", "flux", "sd3"])
def test_every_pass_and_task_takes_it(families, run, tmp_path, name):
    model = families(name)
    file = adapter(model, tmp_path / "ip")
    reference = {"reference": shown(1)}
    made(run(small(model, ip_adapter=file, refine_scale=2.0, refine_strength=0.7), inputs=reference))
    source = shown(3)
    mask = {"mask": Source(pixels=np.full((48, 40, 4), 255, np.uint8))}
    for task, changes in (("image_to_image", {}), ("upscale", {"width": 96, "height": 96,
                                                               "tile": 64}), ("inpaint", {})):
        inputs = {**reference, "source": source, **(mask if task == "inpaint" else {})}
        order = small(model, task=task, strength=0.7, **{"width": 48, "height": 48, **changes})
        without = made(run(order, inputs={key: value for key, value in inputs.items() if key != "reference"}))
        assert not np.array_equal(without, made(run(replace(order, ip_adapter=file), inputs=inputs))), task
        assert np.array_equal(without, made(run(order, inputs=inputs))), task


@pytest.mark.parametrize(("name", "kind"), [("flux", "flux"), ("sd3", "sd3"), ("sd", "plain")])
def test_with_a_controlnet_where_the_table_says_so(families, run, tmp_path, name, kind):
    model, net = families(name), str(tiny_controlnets.build(kind, families(name), tmp_path / "net"))
    file, family, cls = adapter(model, tmp_path / "ip"), read_model(model).abilities, read_controlnet(net).kind.cls
    inputs = {
        "reference": shown(1), "source": shown(2), "control0": shown(3),
        "mask": Source(pixels=np.full((64, 64, 4), 255, np.uint8))}
    for task in ("text_to_image", "image_to_image", "inpaint"):
        order = small(model, task=task, strength=1.0, controls=(Control("depth", net),))
        if family.refusal(task, cls):
            continue
        steered, both = run(order, inputs=inputs), run(replace(order, ip_adapter=file), inputs=inputs)
        if refused := family.refusal(task, cls, reference=True):
            assert isinstance(both[-1],
                              Failed) and both[-1].kind == InvalidRequest.kind and both[-1].message.startswith(refused)
            assert not any(isinstance(event, Step) for event in both)
        else:
            assert not np.array_equal(made(steered), made(both)), task
        assert np.array_equal(made(steered), made(run(order, inputs=inputs)))


@pytest.mark.parametrize("name", ["sd", "flux", "sd3"])
@pytest.mark.parametrize("mode", [OFFLOAD, STREAM, FP8])
def test_it_works_where_memory_is_short(monkeypatch, families, tmp_path, mode, name):
    monkeypatch.setattr(memory_modes, "available", lambda device: tuple(MEMORY_MODES))
    low, model = Engine(device="cpu", threads=1, memory_use=mode), families(name)
    file, pictures = adapter(model, tmp_path / "ip"), []
    for order in (small(model), small(model, ip_adapter=file), small(model, ip_adapter=file), small(model)):
        events = []
        low.run(Generate("job", order, model, str(tmp_path), {"reference": shown(1)}), events.append, lambda: False)
        pictures.append(made(events))
    assert np.array_equal(pictures[0], pictures[3]) and np.array_equal(pictures[1], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(("name", "what", "kind", "words"), [
    ("sd", "sdxl", InvalidRequest, "does not fit the model"), ("sd", "flux", InvalidRequest, "does not fit the model"),
    ("flux", "sd", InvalidRequest, "does not fit the model"), ("flux", "sd3", InvalidRequest, "does not fit the model"),
    ("sd3", "sd", InvalidRequest, "does not fit the model"), ("sd3", "flux", InvalidRequest, "does not fit the model"),
    ("sd", "truncated", ModelUnreadable, "broken"), ("sd", "no encoder", ModelNotFound, "image encoder"),
    ("flux", "small encoder", InvalidRequest, "does not fit the image "
                                              "encoder"), ("sd3", "small encoder", InvalidRequest, "image encoder"),
    ("sd3", "other encoder", InvalidRequest, "of another "
                                             "kind"), ("flux", "other encoder", InvalidRequest, "of another kind"),
    ("flux", "broken encoder", ModelUnreadable, "cannot be loaded"), ("flux", "layer missing", InvalidRequest, "does not fit the model"),  # noqa: E501
    ("sd3", "projection missing", InvalidRequest, "does not fit the model"),
    ("sd", "no image", SourceUnusable, "no reference image"), ("sd", "missing", ModelNotFound, "no IP-Adapter"),
    ("flux_fill", "fill", InvalidRequest, "do not work"), ("z_image", "z", InvalidRequest, "do not work"),
])
def test_what_does_not_work_is_reported_and_nothing_stays(families, engine, run, tmp_path, name, what, kind, words):
    model = families(name)
    inputs = {"source": shown(3), "mask": Source(pixels=np.full((64, 64, 4), 255, np.uint8))}
    order = small(model, task=TEXT_TO_IMAGE if name != "flux_fill" else INPAINT)
    plain = made(run(order, inputs=inputs))
    made_for = what if what in ("sd", "sdxl", "flux", "sd3") else "flux" if name in ("flux_fill", "z_image") else name
    file = Path(
        adapter(families(made_for), tmp_path / "ip", encoder=what != "no encoder",
                features=16 if what == "small encoder" else 24))
    spoil(file, what)
    events = run(replace(order, ip_adapter="nothing.safetensors" if what == "missing" else str(file)),
                 inputs=inputs if what == "no image" else {**inputs, "reference": shown(1)})
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    base = engine._load(model).base
    assert getattr(base, "image_encoder", None) is None and getattr(base, "feature_extractor", None) is None
    assert np.array_equal(plain, made(run(order, inputs=inputs)))


def spoil(file: Path, what: str) -> None:
    """Makes of a good adapter one that is `what`."""
    if what == "truncated":
        with file.open("r+b") as data:
            data.truncate(300)
    elif what == "broken encoder":
        (file.parent / ENCODER / "model.safetensors").write_bytes(b"none")
    elif what == "other encoder":
        ours = json.loads((file.parent / ENCODER / "config.json").read_text(encoding="utf-8"))["model_type"]
        (siglip_vision if ours.startswith("clip") else clip_vision)(FEATURES).save_pretrained(file.parent / ENCODER)
    elif what.endswith(" missing"):
        tensors = load_file(file)
        name = "double_blocks.0.processor.ip_adapter_double_stream_v_proj.bias" if what.startswith(
            "layer") else "image_proj.norm_out.bias"
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, file)


def test_the_table_says_which_pipelines_of_diffusers_take_a_reference():
    import diffusers

    for family in FAMILIES.values():
        for name in {cls for calls in (family.pipelines, *family.controls.values()) for cls in calls.values()}:
            takes = "ip_adapter_image_embeds" in signature(getattr(diffusers, name).__call__).parameters
            assert takes == (family.reference and name not in family.without_reference), name


@pytest.mark.parametrize("name", ["sd", "flux", "sd3"])
def test_every_layout_is_known_for_what_it_is(families, tmp_path, name):
    assert kind_of(read_header(adapter(families(name), tmp_path / "ip"))) == Kind(IP_ADAPTER)
