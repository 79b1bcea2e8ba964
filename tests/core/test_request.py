"""The request: its bounds, its text form, and the sampler table."""
from __future__ import annotations

import json
import math
import random

import pytest

from blender_sd.core.errors import InvalidRequest
from blender_sd.core.parts import Axis, Control, Lora
from blender_sd.core.common_settings import MAX_SEED, TILING
from blender_sd.core.declarations import SETTINGS, unusual
from blender_sd.core.families import FAMILIES
from blender_sd.core.request import Request, round_size
from blender_sd.core.tasks import TASKS, Inpaint, TextToImage, Upscale, task_fields
from blender_sd.core.samplers import DEFAULT_SAMPLER, SAMPLERS


def test_every_setting_explains_itself():
    for declared in SETTINGS:
        rule = declared.setting
        assert rule.label and len(rule.tip) > 10 and not rule.tip.endswith("."), declared
        assert declared.default == declared.of(Request.of(declared.task or "text_to_image"))
        if rule.low is not None:
            assert rule.low <= declared.default <= (rule.soft_high or rule.high) <= rule.high
        if rule.choices:
            assert declared.default in rule.choices and set(rule.words) in (set(), set(rule.choices))


def test_every_task_explains_itself():
    for name, task in TASKS.items():
        assert task.name == name and task.label and task.doing and task.call in TASKS
        assert bool(task.own_prompt) == bool(task.prompt_tip), "a prompt of its own has a tooltip"


def test_settings_name_only_what_there_is():
    for declared in SETTINGS:
        beside = {other.name for other in SETTINGS if other.task == declared.task}
        assert declared.setting.only_with in ("", *beside), declared
        assert not declared.setting.needs or hasattr(FAMILIES["StableDiffusionPipeline"], declared.setting.needs)
    numbers = [declared.setting.axis for declared in SETTINGS if declared.setting.axis is not None]
    assert len(set(numbers)) == len(numbers) and 8 not in numbers  # 8 is "Nothing" in the panel's menu


@pytest.mark.parametrize(("name", "values"), [
    ("width", (16, 8192)), ("steps", (1, 500)), ("guidance", (0, 0.0, 100.0)), ("seed", (0, MAX_SEED)), ("count", (1, 64)),  # noqa: E501
    ("tiling", tuple(TILING)), ("sampler", tuple(SAMPLERS)), ("prompt", ("", "ü🧱", "a\nb")),  # noqa: E501
])
def test_what_is_allowed(name, values):
    for value in values:
        request = Request(**{name: value})
        assert getattr(request, name) == value and Request.from_json(request.to_json()) == request


@pytest.mark.parametrize(("name", "value"), [
    ("width", 0), ("width", 15), ("height", 8193), ("width", -64), ("width", 512.0), ("width", "512"), ("width", True), ("width", None),  # noqa: E501
    ("steps", 0), ("steps", 1001), ("guidance", math.nan), ("guidance", math.inf), ("guidance", -0.1), ("guidance", True),  # noqa: E501
    ("guidance", "7"),
    ("sampler", "magic"), ("sampler", ""), ("sampler", None), ("seed", -2), ("seed", MAX_SEED + 1), ("seed", 1.0), ("count", 0),  # noqa: E501
    ("count", 65), ("tiling", "z"), ("task", "video"), ("task", None), ("prompt", None), ("prompt", 3),  # noqa: E501
    ("prompt", "\ud800"), ("negative", b"x"), ("model", 1), ("source", 1), ("guidance", 10**400), ("guidance", -(10**400)),  # noqa: E501
    ("width", 10**400), ("seed", 10**5000),
], ids=lambda value: f"{type(value).__name__}" if isinstance(value, int) and abs(value) > 2**40 else None)
def test_what_is_refused(name, value):
    with pytest.raises(InvalidRequest) as caught:
        Request(**{name: value})
    assert caught.value.message.endswith(".") and len(caught.value.message) < 200


@pytest.mark.parametrize("task", ["video", 3, None, [], {}, Inpaint()])
def test_what_is_no_task(task):
    with pytest.raises(InvalidRequest, match="no task"):
        Request.of(task)


@pytest.mark.parametrize("task", TASKS)
def test_requests_of_each_task(task):
    request = Request.of(task, steps=4)
    assert request.task == TASKS[task]() and request.steps == 4 and Request.from_json(request.to_json()) == request
    assert json.loads(request.to_json())["task"]["name"] == task
    for name in task_fields(task):
        with pytest.raises(InvalidRequest):
            request.changed(**{name: None})


@pytest.mark.parametrize(("task", "changes", "words"), [
    ("inpaint", {"strength": 1.01}, "Strength"), ("inpaint", {"strength": math.nan}, "finite"),
    ("inpaint", {"mask_feather": 8}, "no setting called 'mask_feather'"), ("inpaint", {"gorw": 8}, "gorw"),
    ("text_to_image", {"strength": 0.5}, "strength"), ("video", {}, "no task called 'video'"),
])
def test_tasks_that_cannot_be(task, changes, words):
    with pytest.raises(InvalidRequest, match=words):
        Request.of(task, **changes)


def test_changes_reach_the_request_and_its_task():
    request = Request.of("inpaint", grow=3).changed(seed=5, feather=1)
    assert (request.seed, request.task) == (5, Inpaint(grow=3, feather=1))
    assert request.changed(task=Upscale(), tile=64).task == Upscale(tile=64)
    assert Request().task == TextToImage()


def test_another_task_takes_its_own_settings():
    assert Request().changed(task=Inpaint(), grow=3, steps=4) == Request.of("inpaint", grow=3, steps=4)
    for changes in ({"task": TASKS["make_seamless"](), "tile": 256}, {"task": "inpaint", "tile": 256}):
        with pytest.raises(InvalidRequest):
            Request().changed(**changes)


def test_an_impossible_value_on_an_idle_axis_survives_the_text_form():
    request = Request.of("image_to_image", axes=(Axis("refine_strength", "0.2, 5"),))
    assert Request.from_json(request.to_json()) == request


def test_an_axis_of_a_setting_that_the_task_lacks_changes_nothing():
    grid = Request(axes=(Axis("strength", "0.2, 0.4"),), seed=3)
    assert grid.pictures == 2 and grid.single(0) == grid.single(1) == Request(seed=3)
    assert [Request.of("image_to_image", axes=grid.axes).single(number).task.strength for number in (0, 1)] == [
        0.2,
        0.4,
    ]


def test_what_another_setting_switches_off_is_no_news():
    def labels(task, **changes):
        return [label for label, _ in unusual(Request.of(task, **changes))]

    assert labels("text_to_image", tile=1024, refine_strength=0.7) == [] == labels("inpaint", tile=1024, context=9)[1:]
    assert labels("text_to_image", tile=1024, refine_scale=2.0) == ["Enlarge", "Tile Size"]
    assert labels("inpaint", tile=1024, full_res=True) == ["Strength", "Only Masked Area", "Tile Size"]
    assert labels("upscale", tile=1024) == ["Refine Strength", "Tile Size"]


def test_an_integer_and_a_float_are_the_same_order():
    assert Request(guidance=5).to_json() == Request(guidance=5.0).to_json()


def test_parts_survive_the_text_form():
    request = Request(loras=(Lora("/l/a.safetensors", 1), Lora("b.safetensors", -0.5)),
                      controls=(Control("lines", "/c", 1.5, 0.1, 0.8),))
    again = Request.from_json(request.to_json())
    assert again == request and again.loras[0].weight == 1.0 and again.to_json() == request.to_json()
    assert hash(again) == hash(request)


@pytest.mark.parametrize("values", [
    {"loras": [Lora()]}, {"loras": ("x",)}, {"controls": (Lora(),)}, {"loras": None}, {"loras": ({"file": "x", "weight": 1},)},  # noqa: E501
])
def test_parts_that_are_none(values):
    with pytest.raises(InvalidRequest):
        Request(**values)


@pytest.mark.parametrize("raw", ['"x"', "{}", '["x"]', "[null]", '[{"file": 3}]', '[{"weight": '
                                                                                  '9}]', '[{"more": 1}]', "[[]]", "null"])  # noqa: E501
def test_texts_that_are_no_parts(raw):
    with pytest.raises(InvalidRequest):
        Request.from_json(f'{{"format": 1, "loras": {raw}}}')


def test_inputs_by_role():
    request = Request(controls=(Control(), Control("lines")))
    digests = {"source": "sha256:a", "mask": "sha256:c", "control1": "sha256:b"}
    assert request.inputs == {} and request.with_inputs(digests).inputs == digests
    assert request.with_inputs(digests).with_inputs({"source": ""
                                                     }).inputs == {"mask": "sha256:c", "control1": "sha256:b"}


def test_the_text_form_is_stable():
    text = Request(prompt="ü").to_json()
    assert text == Request(prompt="ü").to_json() and json.loads(text)["format"] == 2 and "ü" in text


@pytest.mark.parametrize("text", [
    "", "x", "[]", "3", "null", "{}", '{"format": 3}',
                                      '{"format": "1"}',
                                            '{"format": 1, "more": 1}', '{"format": 1, "steps": NaN}',
    '{"format": 1, "guidance": Infinity}',
    "[" * 100_000, '{"format": 1, "prompt": ["x"]}', '{"format": 1, "seed": 1e400}',
])
def test_texts_that_are_no_request(text):
    with pytest.raises(InvalidRequest):
        Request.from_json(text)


def test_damaged_texts_are_refused_or_read():
    dice = random.Random(3)
    text = Request(prompt="red brick wall", seed=7).to_json()
    for _ in range(3000):
        place = dice.randrange(len(text))
        damaged = text[:place] + chr(dice.randrange(32, 0x2500)) + text[place + dice.randint(0, 2):]
        try:
            request = Request.from_json(damaged)
        except InvalidRequest:
            continue
        assert Request.from_json(request.to_json()) == request


def test_single_pictures_of_a_batch():
    request = Request(seed=MAX_SEED - 1, count=3)
    assert [request.single(index).seed for index in range(3)] == [MAX_SEED - 1, MAX_SEED, 0]
    assert request.single(0).count == 1 and request.single(1).single(0) == request.single(1)


@pytest.mark.parametrize(("size", "multiple", "expected"), [
    ((512, 512), 64, (512, 512)), ((500, 545), 64, (512, 576)), ((1, 31), 64, (64, 64)), ((543, 544), 64, (512, 576)),
    ((100, 101), 1, (100, 101)),
])
def test_sizes_are_rounded_to_the_nearest_multiple(size, multiple, expected):
    assert round_size(*size, multiple) == expected


def test_the_sampler_table():
    assert DEFAULT_SAMPLER in SAMPLERS
    needed = {
        "ddim", "euler", "euler_a", "heun", "dpmpp_2m", "dpmpp_2m_karras", "dpmpp_sde", "unipc", "lms", "pndm", "deis",
        "lcm", "tcd"}
    assert needed <= set(SAMPLERS)
    for id, sampler in SAMPLERS.items():
        assert sampler.id == id and sampler.label and sampler.tip and sampler.a1111 and sampler.scheduler.endswith(
            "Scheduler")
    for names in ({sampler.label for sampler in SAMPLERS.values()}, {sampler.a1111 for sampler in SAMPLERS.values()}):
        assert len(names) == len(SAMPLERS)


# ---- grids and variations --------------------------------------------------------------------------------------------


def test_a_grid_is_its_cells_row_by_row():
    grid = Request(prompt="old brick wall", seed=3, count=2,
                   axes=(Axis("steps", "8, 20"), Axis("prompt", 'brick, "stone, wet"')))
    assert (grid.cells, grid.pictures) == (4, 8)
    made = [grid.single(index) for index in range(8)]
    assert [(one.steps, one.prompt, one.seed) for one in made] == [(8, "old brick wall", 3), (8, "old brick wall", 4),
                                                                   (20, "old brick wall", 3), (20, "old brick wall", 4),
                                                                   (8, "old stone, wet wall", 3),
                                                                   (8, "old stone, wet wall", 4),
                                                                   (20, "old stone, wet wall", 3),
                                                                   (20, "old stone, wet wall", 4)]
    assert all(one.axes == () and one.count == 1 for one in made)
    assert Request.from_json(grid.to_json()) == grid


@pytest.mark.parametrize(("axes", "words"), [
    ((Axis("steps", "8, many"),), "'many'"), ((Axis("steps", "8, 0"),), "Steps must "
                                                                        "be"), ((Axis("sampler", "euler, fast"),), "'fast'"),  # noqa: E501
    ((Axis("prompt", "stone, brick"),), "does not hold 'stone'"), ((Axis("steps", "1"),) * 3, "two axes"),
    ((Axis("steps", ",".join("1" * 20)), Axis("guidance", ",".join("1" * 20))), "256"),
])
def test_grids_that_cannot_be(axes, words):
    with pytest.raises(InvalidRequest, match=words):
        Request(prompt="a brick wall", axes=axes)


def test_samplers_on_an_axis_go_by_their_labels_too():
    grid = Request(axes=(Axis("sampler", "dpm++ 2M Karras, euler, Euler a SGM Uniform"),))
    assert [grid.single(index).sampler for index in range(3)] == ["dpmpp_2m_karras", "euler", "euler_a_trailing"]


@pytest.mark.parametrize("values", ["", " , ,", "\n"])
def test_an_axis_without_values(values):
    with pytest.raises(InvalidRequest, match="no values"):
        Axis("steps", values)


def test_variations_keep_the_seed_and_turn_the_other():
    made = [
        Request(seed=5, variation_strength=0.2, variation_seed=MAX_SEED, count=3).single(index) for index in range(3)]
    assert [(one.seed, one.variation_seed) for one in made] == [(5, MAX_SEED), (5, 0), (5, 1)]


def test_a_bake_is_a_request_but_no_task_of_a_model():
    request = Request.of("bake", soft=0, fill=False, width=64)
    assert Request.from_json(request.to_json()) == request and request.task.soft == 0
    assert "bake" not in TASKS and not any("bake" in family.tasks for family in FAMILIES.values())
    with pytest.raises(InvalidRequest):
        Request.of("bake", soft=99)
