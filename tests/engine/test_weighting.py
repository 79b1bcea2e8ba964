"""Prompt weights and prompts longer than a text encoder's window, on tiny models with one encoder and with two."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.engine.conditioning import weighting
from blender_sd.engine.engine import Engine
from blender_sd.protocol.messages import Finished, Note
from tests.support.engine import small

pytestmark = pytest.mark.slow

MODELS = ["sd", "sdxl", "taesd"]


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_of_plain_words_are_the_pipelines_own(request, name):
    pipe = Engine(device="cpu", threads=1)._load(request.getfixturevalue(name)).base
    own = pipe.encode_prompt("a wall", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                             negative_prompt="red")
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    ours = weighting.arguments(pipe, "a wall", "red")
    for key, expected in zip(names, own, strict=False):
        assert torch.allclose(ours[key].float(), expected.float(), atol=1e-5), key


@pytest.mark.parametrize("name", MODELS)
def test_weights_move_the_picture_and_weight_one_does_not(request, run, name):
    model = request.getfixturevalue(name)
    plain = made(run(small(model, prompt="a wall")))
    heavier = made(run(small(model, prompt="a (wall:1.4)", guidance=8.0)))
    assert not np.array_equal(made(run(small(model, prompt="a wall", guidance=8.0))), heavier)
    assert not np.array_equal(heavier, made(run(small(model, prompt="a (wall:0.6)", guidance=8.0))))
    assert np.array_equal(plain, made(run(small(model, prompt="a (wall:1)"))))
    assert np.array_equal(made(run(small(model, prompt="a wall (b"))), made(run(small(model, prompt="a wall \\(b"))))


@pytest.mark.parametrize("name", MODELS)
def test_the_end_of_a_long_prompt_counts(request, run, name):
    model = request.getfixturevalue(name)
    long = "wall " * 40  # the tests' tokenizer makes a token of every letter
    one, other = (run(small(model, prompt=long + end, guidance=8.0)) for end in ("red", "blue"))
    assert not np.array_equal(made(one), made(other)) and not notes(one)
    run(small(model, prompt="short", negative=long, guidance=8.0))


def test_a_family_without_weights_says_so_and_reads_the_words(run, sd3):
    weighed, plain = (run(small(sd3, prompt=prompt)) for prompt in ("a (wall:1.4)", "a wall"))
    assert any("weights" in text for text in notes(weighed)) and not any("weights" in text for text in notes(plain))
    assert np.array_equal(made(weighed), made(plain))


def test_choices_are_made_by_each_pictures_seed(run, sd):
    prompt = "{red|green|blue|grey|white} wall"
    events = run(small(sd, prompt=prompt, count=4, seed=3))
    used = [one.request.prompt for one in events[-1].results]
    assert len(set(used)) > 1 and all(text.endswith(" wall") and "{" not in text for text in used)
    alone = made(run(small(sd, prompt=used[2], seed=5)))
    assert np.array_equal(alone, np.asarray(Image.open(events[-1].results[2].path)))
