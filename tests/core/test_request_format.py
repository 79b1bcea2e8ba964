"""Requests that earlier versions wrote (tests/saved/requests-format-1.json, written by 0.1.0) mean what they meant."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from blender_sd.core.errors import InvalidRequest
from blender_sd.core.parts import Axis, Control, Lora
from blender_sd.core.request import Request
from blender_sd.core.tasks import ImageToImage, Inpaint, MakeSeamless, Outpaint, TextToImage, Upscale

SAVED_2 = json.loads((Path(__file__).resolve().parents[1] / "saved" / "requests-format-2.json").read_text("utf-8"))
SAVED = json.loads((Path(__file__).resolve().parents[1] / "saved" / "requests-format-1.json").read_text("utf-8"))
TASKS = {
    "text_to_image": TextToImage(refine_scale=2.0, refine_strength=0.4, tile=64, upscaler_noise=30),
    "image_to_image": ImageToImage(strength=0.65),
    "upscale": Upscale(strength=0.3, tile=96),
    "inpaint": Inpaint(strength=0.9, mask_kind="alpha", grow=-3, feather=5, full_res=True, context=12, tile=128),
    "outpaint": Outpaint(left=16, bottom=32, overlap=8, strength=1.0),
    "make_seamless": MakeSeamless(band=0.3, strength=0.8, feather=6)}


@pytest.mark.parametrize("name", TASKS)
def test_each_task_of_format_2(name):
    """tests/saved/requests-format-2.json is what format 1 became; what is written today must stay readable."""
    text = SAVED_2[name]
    assert json.loads(text)["format"] == 2 and Request.from_json(text) == Request.from_json(SAVED[name])
    assert set(json.loads(text)) <= set(json.loads(Request().to_json())), "no setting has gone"


@pytest.mark.parametrize("name", TASKS)
def test_each_task_of_format_1(name):
    assert json.loads(SAVED[name])["format"] == 1
    request = Request.from_json(SAVED[name])
    assert request.task == TASKS[name]
    assert (request.prompt, request.negative, request.steps, request.seed) == (
        "mossy (brick:1.2) wall", "blur", 6, 2**40 + 3)
    assert bool(request.source) == (name != "text_to_image") and Request.from_json(request.to_json()) == request


@pytest.mark.parametrize(("name", "task"), [
    ("upscale", Upscale(strength=0.5)), ("inpaint", Inpaint(strength=0.5)),
    ("make_seamless", MakeSeamless(strength=0.5)),
    ("outpaint", Outpaint(left=64, strength=0.5, overlap=0))])
def test_what_format_1_leaves_out_has_its_defaults(name, task):
    raw = {"format": 1, "task": name, **({"expand_left": 64} if name == "outpaint" else {})}
    assert Request.from_json(json.dumps(raw)).task == task


def test_a_grid_of_format_1_with_parts():
    request = Request.from_json(SAVED["grid"])
    assert request.axes == (Axis("steps", "4, 6"), Axis("sampler", "Euler, DDIM")) and request.pictures == 4
    assert request.loras == (Lora("/m/a.safetensors", 0.8, 0.5),)
    assert request.controls == (Control("depth", "starter", 0.7, 0.1, 0.9),)


@pytest.mark.parametrize("change", [
    {"task": "video"}, {"task": None}, {"task": ["inpaint"]}, {"more": 1}, {"mask_grow": "x"}, {"strength": 2.0},
    {"format": 3}, {"format": "1"}])
def test_what_is_no_request_of_format_1(change):
    with pytest.raises(InvalidRequest):
        Request.from_json(json.dumps({**json.loads(SAVED["inpaint"]), **change}))


@pytest.mark.parametrize("task", [None, 3, "inpaint", [], {}, {"name": "video"}, {"name": ["inpaint"]},
                                  {"name": "inpaint", "mask_grow": 1}, {"name": "inpaint", "grow": "x"}])
def test_what_is_no_task_of_format_2(task):
    with pytest.raises(InvalidRequest):
        Request.from_json(json.dumps({**json.loads(Request().to_json()), "task": task}))
