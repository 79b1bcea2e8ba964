"""Both tasks through the engine: the pixels are diffusers' own, every picture is reproducible, sizes and alpha hold."""
from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.engine.denoise import samplers
from blender_sd.engine.memory import devices
from blender_sd.core.errors import InvalidRequest, SourceUnusable
from blender_sd.protocol.messages import EngineConfig, Failed, Finished, Loading, Note, Source, Step
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from tests.support.requests import as_sent
from tests.support.engine import small


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)


def pixels_of(result) -> np.ndarray:
    with Image.open(result.path) as image:
        return np.asarray(image)


def laid_out(pipe, sampler: str, steps: int, seed: int):
    """A pipeline of diffusers' own with the scheduler of a request and with the engine's layout of weights, which shows
    in the last bits."""
    for part in (pipe.unet, pipe.vae):
        devices.choose(EngineConfig(device="cpu")).lay_out(part)
    pipe.scheduler = samplers.build(pipe.scheduler, sampler, steps, seed)[0]
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("family", ["sd", "taesd", "sdxl"])
def test_text_to_image_is_the_bare_call(engine, family, request):
    folder = request.getfixturevalue(family)
    ours = engine.generate("red brick", negative="blur", seed=7, steps=3, guidance=4.0, size=(64, 48), model=folder,
                           sampler="euler_a")[0]
    pipe = laid_out(diffusers.AutoPipelineForText2Image.from_pretrained(folder), "euler_a", 3, 7)
    bare = pipe("red brick", negative_prompt="blur", num_inference_steps=3, guidance_scale=4.0, width=64, height=48,
                generator=torch.Generator().manual_seed(7)).images[0]
    assert ours.size == (64, 48)
    assert np.array_equal(np.asarray(ours), np.asarray(bare))
    assert np.asarray(ours).std() > 1  # a picture, not a flat colour


@pytest.mark.parametrize("family", ["sd", "taesd", "sdxl"])
def test_image_to_image_is_the_bare_call(engine, family, request):
    folder = request.getfixturevalue(family)
    source = Image.fromarray(noise(64, 64))
    ours = engine.restyle(source, "watercolour", strength=0.5, seed=3, steps=4, guidance=1.0, model=folder,
                          sampler="ddim")[0]
    pipe = laid_out(diffusers.AutoPipelineForImage2Image.from_pretrained(folder), "ddim", 4, 3)
    bare = pipe("watercolour", image=source, strength=0.5, num_inference_steps=4, guidance_scale=1.0,
                generator=torch.Generator().manual_seed(3)).images[0]
    assert np.array_equal(np.asarray(ours), np.asarray(bare))


def test_flow_matching_family_paints_with_its_own_sampler(run, sd3):
    events = run(small(sd3, sampler="dpmpp_2m"))
    assert isinstance(events[-1], Finished)
    assert [event.text for event in events if isinstance(event, Note)] == [
        "This model only works with its own sampler, so 'DPM++ 2M' was not used."]
    assert not [event for event in run(small(sd3, sampler="euler")) if isinstance(event, Note)]
    source = Source(pixels=noise(64, 64, 4) | np.array([0, 0, 0, 255], np.uint8))
    assert isinstance(run(small(sd3, task=IMAGE_TO_IMAGE, sampler="euler"), source=source)[-1], Finished)


def test_events_of_one_job_in_order(run, engine, sd):
    engine.close()  # so that the model is loaded in this job
    request = small(sd, count=2)
    events = run(request)
    kinds = [type(event) for event in events]
    assert kinds == [Loading] * 3 + [Step] * 7 + [Finished]
    steps = [(event.image, event.step, event.steps, event.images) for event in events if isinstance(event, Step)]
    assert steps == [(1, 0, 3, 2), (1, 1, 3, 2), (1, 2, 3, 2), (1, 3, 3, 2), (2, 1, 3, 2), (2, 2, 3, 2), (2, 3, 3, 2)]
    assert all(event.job == "job" for event in events)
    assert [as_sent(result.request) for result in events[-1].results] == [request.single(0), request.single(1)]
    assert [type(event) for event in run(request)] == [Step] * 7 + [Finished]  # warm


def test_each_of_several_pictures_is_reproducible_alone(run, sd, tmp_path):
    together = run(small(sd, count=3, sampler="dpmpp_sde"))[-1].results
    assert len({pixels_of(result).tobytes() for result in together}) == 3
    alone = run(together[2].request)[-1].results[0]
    assert np.array_equal(pixels_of(alone), pixels_of(together[2]))


def test_second_order_samplers_report_the_steps_that_were_ordered(run, sd):
    steps = [(event.step, event.steps) for event in run(small(sd, sampler="heun", steps=4)) if isinstance(event, Step)]
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_restyle_takes_only_its_share_of_the_steps(run, sd):
    source = Source(pixels=np.full((64, 64, 4), 255, np.uint8))
    events = run(small(sd, task=IMAGE_TO_IMAGE, steps=10, strength=0.3), source=source)
    assert [(event.step, event.steps) for event in events if isinstance(event, Step)][1:] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("size", [(50, 70), (64, 64), (17, 33)])
@pytest.mark.parametrize("tiling", ["none", "xy"])
def test_restyle_gives_exactly_the_size_ordered_and_the_alpha_of_the_source(run, sd, size, tiling):
    pixels = noise(*size, 4)
    events = run(small(sd, task=IMAGE_TO_IMAGE, width=size[0], height=size[1], tiling=tiling),
                 source=Source(pixels=pixels))
    result = events[-1].results[0]
    assert (result.width, result.height) == size
    painted = pixels_of(result)
    assert painted.shape == (size[1], size[0], 4)
    assert np.array_equal(painted[..., 3], pixels[..., 3])
    assert not np.array_equal(painted[..., :3], pixels[..., :3])


def test_restyle_scales_a_source_of_another_size(run, sd):
    result = run(small(sd, task=IMAGE_TO_IMAGE, width=64, height=32),
                 source=Source(pixels=noise(100, 90, 4)))[-1].results[0]
    assert pixels_of(result).shape == (32, 64, 4)


def test_an_opaque_source_gives_rgb(run, sd):
    pixels = noise(64, 64, 4)
    pixels[..., 3] = 255
    assert pixels_of(run(small(sd, task=IMAGE_TO_IMAGE),
                         source=Source(pixels=pixels))[-1].results[0]).shape == (64, 64, 3)


def test_strength_zero_returns_the_very_pixels_also_under_alpha_zero(run, sd):
    pixels = noise(61, 47, 4)
    pixels[:9, :, 3] = 0
    events = run(small(sd, task=IMAGE_TO_IMAGE, width=61, height=47, strength=0.0, count=2),
                 source=Source(pixels=pixels))
    assert np.array_equal(pixels_of(events[-1].results[1]), pixels)
    assert not [event for event in events if isinstance(event, Note) or (isinstance(event, Step) and event.step > 0)]


def test_too_few_steps_to_denoise_anything_are_reported(run, sd):
    pixels = noise(64, 64, 4)
    events = run(small(sd, task=IMAGE_TO_IMAGE, steps=10, strength=0.05), source=Source(pixels=pixels))
    assert np.array_equal(pixels_of(events[-1].results[0]), pixels)
    assert "unchanged" in [event.text for event in events if isinstance(event, Note)][0]


def test_a_size_that_the_model_cannot_paint_is_refused_with_one_that_it_can(run, sd, tmp_path):
    failed = run(small(sd, width=60, height=61))[-1]
    assert isinstance(failed, Failed) and failed.kind == InvalidRequest.kind
    assert "multiples of 8" in failed.message and failed.hint == "Use 64 × 64."
    assert not list(tmp_path.iterdir())


def test_restyle_without_a_source_says_so(run, sd):
    assert run(small(sd, task=IMAGE_TO_IMAGE))[-1].kind == SourceUnusable.kind


def test_a_long_prompt_says_which_words_are_lost(run, sd3):
    words = " ".join(["brick"] * 14 + ["mortar", "(moss:1)"])  # 70 tokens, then 6 more, where 5 fit

    def lost(**prompts):
        return [
            event.text for event in run(small(sd3, sampler="euler", **prompts))
            if isinstance(event, Note) and "longer" in event.text]

    assert [text[text.index("“"):] for text in lost(prompt=words)] == ["“mortar moss”"]
    assert not lost(prompt="brick " * 15)
    assert "negative prompt" in lost(negative=words)[0]


def test_generate_defaults_to_the_size_the_model_was_trained_for(engine, sd, taesd):
    assert engine.generate("brick", seed=1, steps=1, model=sd)[0].size == (64, 64)
    assert engine.generate("brick", seed=1, steps=1, model=taesd)[0].size == (32, 32)


def test_pictures_carry_their_request(engine, sd):
    from blender_sd.core.request import Request

    picture = engine.generate("brick", steps=1, model=sd, count=2)[1]
    request = Request.from_json(picture.info["blender_sd"])
    again = engine.generate(request.prompt, steps=1, model=sd, seed=request.seed)[0]
    assert np.array_equal(np.asarray(picture), np.asarray(again))
