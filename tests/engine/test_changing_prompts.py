"""Prompts that change while a picture is painted, and BREAK, in every family."""
from __future__ import annotations

import numpy as np
import pytest
from tests.support import tiny_controlnets
import torch
from tests.support.engine import small
from PIL import Image

from blender_sd.engine.engine import Engine
from blender_sd.engine.conditioning import changing_prompts, weighting
from blender_sd.protocol.messages import Finished, Note, Source
from blender_sd.core.parts import Control
from blender_sd.core.tasks import IMAGE_TO_IMAGE

pytestmark = pytest.mark.slow

FAMILIES = ["sd", "sd2", "sdxl", "sd3", "flux", "flux2_klein", "flux2_klein_base", "z_image", "qwen_image", "sana"]


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path)).astype(int)


@pytest.fixture
def strong(run, families):
    """Pictures of a family that follow their words closely: random weights hardly do."""

    def strong(name, prompt, **changes):
        events = run(
            small(families(name),
                  **{"prompt": prompt, "guidance": 30.0, "steps": 4, "width": 64, "height": 64, **changes}))
        assert not [event.text for event in events if isinstance(event, Note) and "Not understood" in event.text]
        return made(events)

    return strong


@pytest.mark.parametrize("name", FAMILIES)
def test_words_change_at_their_step_in_every_family(strong, name):
    cat, dog = strong(name, "a cat"), strong(name, "dogs dogs dogs")
    assert not np.array_equal(cat, dog), "the family's words do not show: the test would say nothing"
    assert np.array_equal(strong(name, "[a cat:dogs dogs dogs:1.0]"), cat)
    assert np.array_equal(strong(name, "[a cat:dogs dogs dogs:0]"), dog)
    later = strong(name, "[a cat:dogs dogs dogs:0.5]")
    turns = strong(name, "[a cat|dogs dogs dogs]")
    assert not np.array_equal(later, cat) and not np.array_equal(later, dog)
    assert not np.array_equal(turns, cat) and not np.array_equal(turns, dog) and not np.array_equal(turns, later)
    assert np.array_equal(strong(name, "[a cat|a cat]"), cat)
    assert np.array_equal(strong(name, "[a cat:dogs dogs dogs:2]"), later), "half of the steps, and two of four"


def test_the_denoiser_is_given_each_steps_own_text(families):
    """The features at each step are those that the encoder makes of that step's text, to the last bit."""
    engine = Engine(device="cpu", precision="fp32", threads=1)
    model = engine._load(families("sdxl"))
    seen = []
    handle = model.denoiser.register_forward_hook(
        lambda _net, _args, options, _made: seen.append(
            (options["encoder_hidden_states"][-1], options["added_cond_kwargs"]["text_embeds"][-1])), with_kwargs=True)
    engine.generate("(cat:1.2) [red|green|blue] [wall:0.75]", model=families("sdxl"), seed=1, steps=4, size=(64, 64),
                    guidance=5.0)
    handle.remove()
    expected = [weighting.arguments(model.base, text, "") for text in (
        "(cat:1.2) red ", "(cat:1.2) green ", "(cat:1.2) blue ", "(cat:1.2) red wall")]
    assert len(seen) >= 4
    for (features, pooled), arguments in zip(seen[-4:], expected, strict=True):
        assert torch.equal(features, arguments["prompt_embeds"][0]) and torch.equal(
            pooled, arguments["pooled_prompt_embeds"][0])
    engine.close()


@pytest.mark.parametrize("sampler", ["euler_a", "dpmpp_sde", "heun", "unipc"])
def test_steps_are_counted_as_people_do_with_every_sampler(strong, sampler):
    whole = strong("sd", "a cat", sampler=sampler)
    assert np.array_equal(strong("sd", "[a cat:dogs:1.0]", sampler=sampler), whole)
    assert np.array_equal(strong("sd", "[a cat:dogs:4]", sampler=sampler), whole)
    assert not np.array_equal(strong("sd", "[a cat:dogs:3]", sampler=sampler), whole)


@pytest.mark.parametrize("name", ["sd", "flux"])
def test_variations_stay(strong, name):
    """The pipeline is called several times; each call draws its first noise."""
    varied = {"variation_seed": 5, "variation_strength": 0.8}
    turned = strong(name, "a cat", **varied)
    assert np.array_equal(strong(name, "[a cat|a cat]", **varied), turned)
    assert not np.array_equal(turned, strong(name, "a cat"))


def test_negative_prompts_change_too(strong):
    cat = strong("sd", "a wall", negative="a cat")
    assert np.array_equal(strong("sd", "a wall", negative="[a cat:dogs:1.0]"), cat)
    assert not np.array_equal(strong("sd", "a wall", negative="[a cat:dogs:0.5]"), cat)


def test_of_image_to_image_the_steps_that_are_painted_count(run, families):
    source = Source(pixels=np.random.default_rng(1).integers(0, 255, (64, 64, 4), np.uint8))

    def restyled(prompt):
        request = small(families("sd"), task=IMAGE_TO_IMAGE, prompt=prompt, steps=10, strength=0.4, guidance=30.0,
                        source=source.digest())
        return made(run(request, source=source))

    cat = restyled("a cat")
    assert np.array_equal(restyled("[a cat:dogs:4]"), cat) and not np.array_equal(restyled("[a cat:dogs:3]"), cat)


def test_controlnets_read_the_steps_own_words(run, families, tmp_path):
    folder = tiny_controlnets.build("plain", families("sd"), tmp_path / "net")
    picture = Source(pixels=np.random.default_rng(1).integers(0, 255, (64, 64, 4), np.uint8))

    def painted(prompt):
        control = Control("depth", str(folder), image=picture.digest())
        request = small(families("sd"), prompt=prompt, guidance=30.0, steps=4, controls=(control,))
        return made(run(request, inputs={"control0": picture}))

    assert np.array_equal(painted("[a cat:dogs:1.0]"), painted("a cat")) and np.array_equal(
        painted("[a cat:dogs:0]"), painted("dogs"))


def test_a_cancel_while_beginning_leaves_the_pipeline_as_it_was(families):
    engine = Engine(device="cpu", threads=1)
    pipe = engine._load(families("sd")).base
    scheduler, hooks = pipe.scheduler, len(pipe.unet._forward_pre_hooks)

    def stop(net, args, options):
        raise KeyboardInterrupt

    handle = pipe.unet.register_forward_pre_hook(stop, with_kwargs=True)
    with pytest.raises(KeyboardInterrupt):
        engine.generate("[a|b]", model=families("sd"), steps=2, size=(64, 64))
    handle.remove()
    assert pipe.scheduler is scheduler and len(pipe.unet._forward_pre_hooks) == hooks and "step" not in vars(scheduler)
    engine.close()


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_break_begins_a_new_window_where_the_encoder_has_windows(strong, families, name):
    engine = Engine(device="cpu", precision="fp32", threads=1)
    pipe = engine._load(families(name)).base
    parted, apart = (weighting.arguments(pipe, text, "")["prompt_embeds"]
                     for text in ("a wall BREAK the sky", "a wall"))
    assert parted.shape[1] == 2 * apart.shape[1] and torch.equal(parted[:, :apart.shape[1]], apart)
    assert torch.equal(parted[:, apart.shape[1]:], weighting.arguments(pipe, "the sky", "")["prompt_embeds"])
    assert weighting.wanted(pipe, "a BREAK b") and weighting.arguments(pipe, "a BREAK b",
                                                                       "c")["negative_prompt_embeds"].shape[1] == 154
    engine.close()
    assert not np.array_equal(strong(name, "a wall BREAK the sky"), strong(name, "a wall, the sky"))


@pytest.mark.parametrize("name", ["sd3", "z_image"])
def test_break_is_a_comma_elsewhere(strong, name):
    assert np.array_equal(strong(name, "a wall BREAK the sky"), strong(name, "a wall, the sky"))


def test_what_is_not_understood_gets_a_note(run, families):
    events = run(small(families("sd"), prompt="{a|a} AND b <hypernet:x:1>", negative="<lora:y:1>"))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("AND" in text and "<hypernet:x:1>" in text for text in notes)
    assert any("negative" in text and "<lora:y:1>" in text for text in notes)


def test_no_text_is_overlooked_by_its_name():
    """Whatever diffusers' denoisers call their text, it is exchanged."""
    import diffusers

    for name in ("UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel", "Flux2Transformer2DModel",
                 "ZImageTransformer2DModel", "QwenImageTransformer2DModel", "SanaTransformer2DModel",
                 "SD3ControlNetModel", "FluxControlNetModel", "ZImageControlNetModel"):
        parameters = changing_prompts._parameters(getattr(diffusers, name))
        text = {
            one for one in parameters
            if any(word in one for word in ("encoder_hidden", "pooled", "txt", "cap_", "encoder_attention"))}
        assert text and text <= changing_prompts._TEXT, name
