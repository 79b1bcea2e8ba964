"""The builder: what a call leaves open is filled in, from the style, the model, or a few-step LoRA."""
from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from blender_sd.core.choices import NOTHING, Choices
from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.core.few_steps import FewSteps, named
from blender_sd.core.parts import Axis, Control, Lora
from blender_sd.core.request import Request
from blender_sd.core.request_builder import build
from blender_sd.core.style_format import make_style
from blender_sd.core.tasks import TASKS, Inpaint, TextToImage


@dataclass
class Model:
    id: str = "/models/wall"
    name: str = "Wall"
    default_width: int = 640
    default_height: int = 768
    steps: int = 24
    guidance: float = 6.5
    sampler: str = "euler"
    multiple: int = 8
    scale: float = 0.0
    upscaler: str = ""
    lacks: tuple[str, ...] = ()
    choices: Choices = NOTHING


@dataclass
class File:
    file: str
    few_steps: FewSteps | None = None


@dataclass
class LookUps:
    made: Model = field(default_factory=Model)
    files: dict[str, File] = field(default_factory=dict)

    def model(self, name):
        return self.made

    def digest(self, model):
        return "sha256:1"

    def style(self, name):
        return make_style("Wet", {"prompt": "{prompt}, wet", "steps": 9, "width": 320, "height": 256, "strength": 0.8,
                                  "tiling": "xy", "loras": {"puddles": 0.5}})

    def file(self, kind, name):
        if name not in self.files:
            raise ModelNotFound(f"no {name}")
        return self.files[name]

    def options(self, name):
        return ["mossy"]


def made(task="text_to_image", prompt="wall", look_ups=None, **keywords) -> Request:
    return build(task, prompt, keywords, look_ups or LookUps()).request


def test_what_is_open_suits_the_model():
    request = made()
    assert (request.width, request.height, request.steps, request.guidance, request.sampler) == (640, 768, 24, 6.5,
                                                                                                "euler")
    assert (request.model, request.model_name, request.model_digest) == ("/models/wall", "Wall", "sha256:1")
    assert request.task == TextToImage(tile=640) and made(steps=None, guidance=2).guidance == 2.0
    assert made("inpaint", full_res=True).task == Inpaint(full_res=True, tile=640)


def test_a_scale_and_the_upscaler_that_suit_the_model():
    files = LookUps(Model(scale=1.0, upscaler="up"), {"up": File("/up"), "other": File("/other")})
    large = made(width=1280, height=2560, look_ups=files)
    assert (large.task.scale, large.task.native, large.upscaler) == (1.0, 640, "/up")
    assert large.first_size == (640, 1280) and large.final_size == (1280, 2560)
    assert made(width=1280, height=1280, scale=1.5, look_ups=files).first_size == (960, 960)
    assert made(width=1280, height=1280, upscaler="other", look_ups=files).upscaler == "/other"
    small = made(look_ups=files)
    assert small.first_size == (640, 768) and small.task.upscaler == "", "nothing is enlarged"
    whole = made(width=1280, height=1280, scale=0, look_ups=files)
    assert whole.first_size == (1280, 1280) and (whole.task.native, whole.task.upscaler) == (0, "")
    assert made(width=1280, height=1280, refine_scale=2, look_ups=files).final_size == (2560, 2560)
    assert made("upscale", look_ups=files).task.upscaler == "/up" and not made(
        "upscale", upscaler="", look_ups=files).task.upscaler


def test_seeds_are_drawn_where_they_are_open():
    assert made(seed=5).seed == 5 and len({made().seed for _ in range(5)} | {made(seed=-1).seed for _ in range(5)}) > 5


def test_sizes_are_rounded_to_what_the_model_can_paint_and_noted():
    built = build("text_to_image", "x", {"width": 100, "height": 64}, LookUps())
    assert (built.request.width, built.request.height) == (104, 64) and "100 × 64" in built.notes[0]
    assert (
        made("image_to_image", width=100, height=61).width,
        made("image_to_image", width=100, height=61).height,
    ) == (100, 61)  # what is painted over a picture is padded instead
    with pytest.raises(InvalidRequest, match="Width"):
        made(width=0)


def test_a_style_fills_in_what_the_call_leaves_open():
    files = LookUps(files={"puddles": File("/l/puddles")})
    request = made(style="wet", look_ups=files, guidance=3)
    assert (request.prompt, request.steps, request.width, request.tiling, request.style) == ("wall, wet", 9, 320, "xy",
                                                                                            "Wet")
    assert request.loras == (Lora("/l/puddles", 0.5),) and request.guidance == 3.0
    assert made(style="wet", look_ups=files, steps=4, width=64).steps == 4
    restyled = made("image_to_image", style="wet", look_ups=files)
    assert restyled.task.strength == 0.8 and restyled.width == 640  # a source has its own size
    assert made("image_to_image", style="wet", look_ups=files, strength=0.1).task.strength == 0.1
    assert made("inpaint", style="wet", look_ups=files).task.strength == 1.0  # styles are about restyling


def test_prompts_of_parts_are_read_as_the_prompt_is():
    files = LookUps(files={"puddles": File("/l/puddles"), "moss": File("/l/moss"), "rain": File("/l/rain"),
                           "old": File("/l/old")})
    parts = ('[["{__green__|__green__} gold <lora:moss:0.7> {<lora:rain:1>|<lora:rain:1>}", [1]], '
             '["embedding:old", [0]]]')
    request = made("texture_object", style="wet", look_ups=files, parts=parts)
    single = request.single(0)
    assert [prompt.split() for prompt in single.task.prompts] == [
        ["mossy", "gold,", "wet"], ["embedding:old,", "wet"]]
    assert [(lora.file, lora.weight) for lora in single.loras] == [
        ("/l/puddles", 0.5), ("/l/moss", 0.7), ("/l/rain", 1.0)]
    assert [embedding.file for embedding in single.embeddings] == ["/l/old"]


@pytest.mark.parametrize("parts", ["[[]]", "gold", '[["gold", ["x"]]]', '{"gold": 1}', "[[1, [1]]]", "7"])
def test_broken_prompts_of_parts_are_refused(parts):
    with pytest.raises(InvalidRequest, match="parts"):
        made("texture_object", parts=parts)


def test_a_few_step_lora_brings_its_steps():
    few = named("hyper-sd15-8steps-lora")
    files = LookUps(files={"fast": File("/l/fast", few), "off": File("/l/off", few)})
    assert few is not None and made(prompt="wall <lora:fast:1>", look_ups=files).steps == few.steps
    assert made(loras=[("off", 0.0)], look_ups=files).steps == 24
    assert made(loras=[("fast", 1.0)], steps=11, look_ups=files).steps == 11


def test_parts_come_in_the_form_that_calls_take():
    request = made(axes=[("steps", (4, 8)), ("prompt", ("wall", "roof, old"))], controls=[Control("depth", "starter")])
    assert request.axes == (Axis("steps", "4,8"), Axis("prompt", 'wall,"roof, old"'))
    assert request.controls == (Control("depth", "starter"),)
    assert made(prompt="__moss__ wall").single(0).prompt == "mossy wall"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "meant"), [("mask_feather", ""), ("stepz", "steps"), ("garbage", "")])
def test_unknown_keywords_are_named_with_the_closest(task, name, meant):
    with pytest.raises(InvalidRequest, match=f"no setting called '{name}'") as caught:
        made(task, **{name: 8})
    assert meant in caught.value.hint


def test_the_closest_name_of_a_task_is_offered():
    with pytest.raises(InvalidRequest) as caught:
        made("inpaint", mask_feather=8)
    assert "feather" in caught.value.hint


@pytest.mark.parametrize("keywords", [
    {"sampler": "magic"}, {"loras": [("none", 1.0)]}, {"style": 3}, {"negative": 3}, {"seed": "x"}, {"steps": 0},
    {"vae": "none"}, {"upscaler": "none"}, {"ip_adapter": "none"}, {"count": 65}])
def test_what_cannot_be_built(keywords):
    with pytest.raises((InvalidRequest, ModelNotFound)):
        made(**keywords)


def test_a_model_without_a_vae_needs_one():
    bare = LookUps(Model(lacks=("VAE",)), {"other": File("/v")})
    with pytest.raises(ModelUnreadable, match="no VAE"):
        made(look_ups=bare)
    assert made(look_ups=bare, vae="other").vae == "/v"
    assert made(look_ups=LookUps(Model(choices=Choices("/mine", "v_prediction", "on")))).choices == Choices(
        "/mine", "v_prediction", "on")


def test_an_upscaler_without_work_is_left_out():
    files = LookUps(files={"esrgan": File("/u")})
    assert made(upscaler="esrgan", look_ups=files).task.upscaler == ""
    assert made(upscaler="esrgan", refine_scale=2.0, look_ups=files).task.upscaler == "/u"
