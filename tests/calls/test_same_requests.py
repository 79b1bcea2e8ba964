"""`sd.*` and the engine's own calls build the same request from the same keywords, in every task."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

import blender_sd as sd
from blender_sd.calls.runtime import runtime
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.request import Request
from blender_sd.core.tasks import TASKS
from blender_sd.engine.image_calls import ImageCalls

pytestmark = [pytest.mark.bpy, pytest.mark.newest]

PICTURE = np.full((48, 64, 4), 128, np.uint8)
MASK = np.zeros((48, 64), np.uint8)
SHARED: list[dict[str, Any]] = [
    {}, {"steps": 3, "guidance": 2, "sampler": "Euler", "count": 2, "negative": "blur"},
    {"style": "Mosaic"}, {"style": "mosaic", "steps": 9}, {"clip_skip": 2, "variation_seed": 5},
    {"axes": [("steps", (2, 3)), ("prompt", ("wall", "roof"))]}, {"steps": None, "count": None},
    {"prompt": "a {red|blue} (wall:1.2)"}]
OWN: dict[str, list[dict[str, Any]]] = {
    "text_to_image": [{"size": (100, 60)}, {"refine_scale": 2.0, "refine_strength": 0.2, "tile": 96}],
    "image_to_image": [{"size": (100, 60)}, {"strength": 0.2, "tiling": "x"}],
    "upscale": [{"scale": 3.0}, {"scale": 1.3, "strength": 0.1, "tile": 128}],
    "inpaint": [{"grow": -2, "feather": 1, "full_res": True, "context": 7, "strength": 0.3}],
    "outpaint": [{"left": 16}, {"aspect": (16, 9)}, {"top": 8, "overlap": 3, "tiling": None}],
    "make_seamless": [{"tiling": None}, {"tiling": "x", "band": 0.3, "feather": 2}],
    "seed_walk": [{"walk": 0.3, "count": 3}]}
NEEDED = {"outpaint": {"bottom": 8}, "seed_walk": {"variation_seed": 3}}
CALLS = {"text_to_image": "generate", "image_to_image": "restyle"}
CASES = [(task, {**keywords}) for task in TASKS for keywords in (*SHARED, *OWN[task])]


class Engine(ImageCalls):
    """Keeps the request instead of painting it."""

    def _pictures(self, request, inputs, on_event):
        self.request = request
        return [None]


def of_engine(task: str, prompt: str, **keywords: Any) -> Request:
    engine, name = Engine(), CALLS.get(task, task)
    if call := getattr(engine, name, None):
        call(*([PICTURE] if TASKS[task].needs else []), *([MASK] if "mask" in TASKS[task].needs else []), prompt,
             **keywords)
    else:
        engine.paint(task, prompt, {"source": PICTURE}, **keywords)
    return engine.request


def of_blender(monkeypatch, task: str, prompt: str, **keywords: Any) -> Request:
    requests: list[Request] = []

    class Caught(Exception):
        pass

    def submit(request, **_rest):
        requests.append(request)
        raise Caught

    monkeypatch.setattr(runtime, "the_session", lambda: type("Session", (), {"submit": staticmethod(submit)}))
    call = getattr(sd, CALLS.get(task, task))
    with pytest.raises(Caught):
        call(*([PICTURE] if TASKS[task].needs else []), *([MASK] if "mask" in TASKS[task].needs else []), prompt,
             **keywords)
    return requests[0]


@pytest.mark.parametrize(("task", "keywords"), CASES, ids=lambda value: str(value))
def test_the_same_keywords_give_the_same_request(monkeypatch, task, keywords):
    given = {"seed": 7, **NEEDED.get(task, {}), **keywords}
    if "left" in keywords or "aspect" in keywords or "top" in keywords:
        given.pop("bottom")
    prompt = given.pop("prompt", "a wall")
    here, there = of_blender(monkeypatch, task, prompt, **given), of_engine(task, prompt, **given)
    plain = {"source": "", "mask": "", "model_digest": ""}
    assert here.changed(**plain) == there.changed(**plain)
    assert there.task.name == task and bool(there.source) == bool(TASKS[task].needs)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("keywords", [
    {"mask_feather": 8}, {"width": 64}, {"ip_adapter": "x"}, {"reference": PICTURE}, {"loras": 3}, {"loras": ["x"]},
    {"axes": 3}, {"controls": 3}, {"model": 3}, {"sampler": 3}, {"vae": 3}, {"negative": b""}, {"seed": "x"},
    {"style": 1}], ids=lambda value: next(iter(value)))
def test_the_same_keywords_are_refused(monkeypatch, task, keywords):
    for build in (of_engine, lambda *given, **rest: of_blender(monkeypatch, *given, **rest)):
        with pytest.raises(InvalidRequest) as caught:
            build(task, "wall", **{**NEEDED.get(task, {}), **keywords})
        assert caught.value.message.endswith(".") and len(caught.value.message) < 200


@pytest.mark.parametrize(("task", "keywords"), [
    *(("upscale", {"scale": scale}) for scale in (0, -1, float("nan"), float("inf"), "2", True, 1000.0)),
    ("outpaint", {}), ("outpaint", {"left": 0}), ("outpaint", {"aspect": (1, 0)}), ("outpaint", {"aspect": 3}),
    ("outpaint", {"left": 9000}), ("image_to_image", {"size": (0, 5)}), ("make_seamless", {"tiling": "z"})])
def test_sizes_that_cannot_be_are_refused_by_both(monkeypatch, task, keywords):
    for build in (of_engine, lambda *given, **rest: of_blender(monkeypatch, *given, **rest)):
        with pytest.raises(InvalidRequest):
            build(task, "wall", **keywords)


@pytest.mark.parametrize(("task", "keywords"), [
    ("upscale", {"scale": 0}), ("upscale", {"scale": float("nan")}), ("outpaint", {}), ("outpaint", {"aspect": (0, 1)}),
    ("image_to_image", {"size": (5, 0)}), ("make_seamless", {"tiling": "none"})])
def test_nothing_is_rendered_for_them(monkeypatch, task, keywords):
    rendered = []
    monkeypatch.setattr("blender_sd.scene.open_source", lambda source: rendered.append(source))
    with pytest.raises(InvalidRequest):
        getattr(sd, CALLS.get(task, task))("CAMERA", "wall", **keywords)
    assert not rendered


@pytest.mark.parametrize(("task", "pictures", "keywords"), [
    ("video", {}, {}), ([], {}, {}), ("inpaint", {"source": PICTURE}, {}), ("seed_walk", {}, {}),
    ("text_to_image", {}, {"size": 64}), ("image_to_image", {"source": PICTURE}, {"size": (0, 0)}),
    ("seed_walk", {"source": PICTURE}, {"variation_strength": 0.3})])
def test_what_the_engine_cannot_paint(task, pictures, keywords):
    with pytest.raises(InvalidRequest):
        Engine().paint(task, "x", pictures, **keywords)


def test_a_walk_leads_to_a_drawn_seed(monkeypatch):
    """A walk towards the seed that it starts from would stand still."""
    seeds = {of_blender(monkeypatch, "seed_walk", "x", seed=0).variation_seed for _ in range(3)}
    seeds |= {of_engine("seed_walk", "x", seed=0).variation_seed for _ in range(3)}
    assert len(seeds) > 1
