"""Clip Skip: an earlier layer of the text encoder, in every way that a prompt is encoded."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.core.families import FAMILIES, family_of
from blender_sd.engine.conditioning import weighting
from blender_sd.protocol.messages import Note
from tests.support.engine import small


def pixels_of(events):
    return np.asarray(Image.open(events[-1].results[0].path).convert("RGB"), np.int16)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_it_changes_the_picture_and_is_written(run, request, name):
    model = request.getfixturevalue(name)
    own, skipped = run(small(model)), run(small(model, clip_skip=2))
    assert np.abs(pixels_of(own) - pixels_of(skipped)).max() > 0
    assert skipped[-1].results[0].request.clip_skip == 2
    assert np.array_equal(pixels_of(own), pixels_of(run(small(model, clip_skip=1))))


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_prompts_without_weights_are_what_the_pipeline_itself_reads(engine, request, name):
    pipe = engine._load(request.getfixturevalue(name)).pipe("text_to_image")
    ours = weighting.arguments(pipe, "red brick", "blur")
    theirs = pipe.encode_prompt("red brick", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                                negative_prompt="blur")
    for key, value in zip(("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds"), theirs, strict=False):
        assert key not in ours or np.allclose(ours[key].numpy(), value.detach().numpy(), atol=1e-5), key


@pytest.mark.parametrize(("name", "ends", "layer"), [("sd", ("",), -2), ("sdxl", ("", "_2"), -3)])
def test_both_prompts_are_read_at_the_earlier_layer(engine, request, name, ends, layer):
    pipe = engine._load(request.getfixturevalue(name)).pipe("text_to_image")
    ours = weighting.arguments(pipe, "red brick", "blur", 1)
    for key, text in (("prompt_embeds", "red brick"), ("negative_prompt_embeds", "blur")):
        states = []
        for end in ends:
            tokenizer, encoder = getattr(pipe, f"tokenizer{end}"), getattr(pipe, f"text_encoder{end}")
            tokens = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
            state = encoder(tokens.input_ids, output_hidden_states=True).hidden_states[layer]
            states.append(encoder.final_layer_norm(state) if name == "sd" else state)
        assert np.allclose(ours[key].numpy(), torch.cat(states, -1).detach().numpy(), atol=1e-5), key
    for end in ends:
        encoder = getattr(pipe, f"text_encoder{end}")
        whole = [len(module.layers) for module in encoder.modules() if hasattr(module, "layers")]
        assert whole == [encoder.config.num_hidden_layers], "the encoder is whole again"
    if "pooled_prompt_embeds" in ours:
        assert torch.equal(ours["pooled_prompt_embeds"],
                           weighting.arguments(pipe, "red brick", "blur")["pooled_prompt_embeds"])


def test_families_without_it_say_so(run, families):
    events = run(small(families("flux"), clip_skip=2, sampler="euler"))
    assert any(isinstance(event, Note) and "Clip Skip has no effect" in event.text for event in events)
    assert np.array_equal(pixels_of(events), pixels_of(run(small(families("flux"), sampler="euler"))))


def test_what_a1111_means_by_its_number():
    sd, xl = FAMILIES["StableDiffusionPipeline"], FAMILIES["StableDiffusionXLPipeline"]
    two = family_of("StableDiffusionPipeline", {"cross_attention_dim": 1024})
    assert [sd.clip_skip_of(value) for value in (0, 1, 2, 3)] == [1, 1, 2, 3]
    assert two.name == "SD 2" and [family.clip_skip_of(2) for family in (two, xl)] == [1, 1], "A1111 ignores it there"
    assert [family.clip_skip for family in (sd, two, xl, FAMILIES["FluxPipeline"])] == [True, True, True, False]
