"""Every family, by a tiny model of it: what the table of `core.families` says it can do runs, and all else is
refused."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from blender_sd.engine.conditioning import weighting
from blender_sd.engine.denoise import previews, samplers
from blender_sd.core.families import INPAINT, family_of
from blender_sd.protocol.messages import Cancelled, Note, Step
from blender_sd.core.parts import Embedding, Lora
from blender_sd.core.tasks import IMAGE_TO_IMAGE, OUTPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from blender_sd.library.models import read_model
from tests.support import tiny_models
from tests.support import tiny_transformers
from tests.support.family_requests import SIZES, hole, made, order, pixels, refused  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow

NAMES = [*tiny_models.BUILDERS, *tiny_transformers.BUILDERS]


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


def first(family):
    """A task that the family can do."""
    return family.tasks[0]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_names_runs_and_all_else_is_refused(order, families, name, task):
    family = read_model(families(name)).abilities
    events = order(name, task)
    if task not in family.tasks:
        assert refused(events) == family.refusal(task) != ""
        return
    picture = made(events)
    assert family.refusal(task) == "" and picture.shape[1::-1] == SIZES[task] and picture.std() > 1
    assert np.array_equal(picture, made(order(name, task)))
    source = pixels()[..., :3]
    if task == INPAINT:
        outside = hole().pixels[..., 0] == 0
        assert np.array_equal(picture[outside], source[outside]) and not np.array_equal(picture, source)
    if task == OUTPAINT:
        assert np.array_equal(picture[:, :77], source)


@pytest.mark.parametrize("name", NAMES)
def test_the_session_and_the_engine_read_the_same_of_it(engine, families, name):
    info, model = read_model(families(name)), engine._load(families(name))
    assert info.abilities == model.family
    assert info.multiple == model.multiple and (info.default_width % model.multiple == 0)
    assert model.family.transformer == model.is_transformer and model.family.weights == weighting.fits(model.base)
    assert model.family.own_sampler == bool(samplers.build(model.own_scheduler, "ddim", 2, 0)[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_that_repeats_leaves_the_model_as_it_was(order, families, name):
    task = first(read_model(families(name)).abilities)
    plain, wrapped = made(order(name, task, tiling="none")), made(order(name, task, tiling="xy"))
    assert not np.array_equal(plain, wrapped) and np.array_equal(plain, made(order(name, task, tiling="none")))


@pytest.mark.parametrize("name", NAMES)
def test_previews_come_from_the_first_step(order, engine, families, name, monkeypatch):
    monkeypatch.setattr(previews, "INTERVAL", 0.0)
    monkeypatch.setattr(previews, "SHARE", float("inf"))
    task = first(read_model(families(name)).abilities)
    engine._load(families(name)).preview = None
    plain = order(name, task, steps=3)
    shown = [event.preview for event in plain if isinstance(event, Step) and event.step]
    assert len(shown) >= 2 and all(one is not None and one.dtype == np.uint8 and one.ndim == 3 for one in shown)
    width, height = SIZES[task]
    assert all(abs(one.shape[1] / one.shape[0] - width / height) < 0.3 for one in shown)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_cancelled_at_a_step(order, families, name):
    task = first(read_model(families(name)).abilities)
    seen = []
    events = order(name, task, steps=3, on_event=lambda event: seen.append(event)
                   if isinstance(event, Step) and event.step else None, cancelled=lambda: bool(seen))
    assert isinstance(events[-1], Cancelled) and len(seen) == 1


@pytest.mark.parametrize("name", NAMES)
def test_strength_0_gives_the_source_back_and_editors_say_that_any_other_is_nothing(order, families, name):
    family = read_model(families(name)).abilities
    if IMAGE_TO_IMAGE not in family.tasks:
        assert not family.strength
        return
    assert np.array_equal(made(order(name, IMAGE_TO_IMAGE, strength=0.0)), pixels()[..., :3])
    weak, strong = order(name, IMAGE_TO_IMAGE, strength=0.5), order(name, IMAGE_TO_IMAGE, strength=1.0)
    assert np.array_equal(made(weak), made(strong)) == family.edits == (not family.strength)
    assert any("edits by instruction" in text for text in notes(weak)) == family.edits


@pytest.mark.parametrize("name", NAMES)
def test_high_res_fix_where_it_can_refine(order, families, name):
    family = read_model(families(name)).abilities
    events = order(name, TEXT_TO_IMAGE, refine_scale=1.5, refine_strength=0.6)
    if {TEXT_TO_IMAGE, UPSCALE} <= set(family.tasks):
        assert made(events).shape == (144, 96, 3)
    else:
        assert refused(events) in (family.refusal(TEXT_TO_IMAGE), family.refusal(UPSCALE))


@pytest.mark.parametrize("name", NAMES)
def test_negative_prompt_and_guidance_count_or_a_note_says_that_they_do_not(order, families, name):
    family = read_model(families(name)).abilities
    task = first(family)
    plain = made(order(name, task))
    negative, guided = order(name, task, negative="a very long and blurred thing"), order(name, task, guidance=9.0)
    assert np.array_equal(plain, made(negative)) != family.negative
    assert any("no negative prompt" in text for text in notes(negative)) != family.negative
    assert np.array_equal(plain, made(guided)) != family.guides
    assert any("no guidance" in text for text in notes(guided)) != family.guides


@pytest.mark.parametrize("name", NAMES)
def test_variation_seeds_turn_the_first_noise(order, families, name):
    task = first(read_model(families(name)).abilities)
    plain, turned = made(order(name, task)), made(order(name, task, variation_strength=0.4, variation_seed=3))
    other = made(order(name, task, seed=3))
    assert not np.array_equal(plain, turned)
    if task == TEXT_TO_IMAGE and name != "sana_sprint":  # others draw more than the first noise
        assert np.array_equal(made(order(name, task, variation_strength=1.0, variation_seed=3)), other)


def lora(engine, folder, file):
    """A LoRA with an effect on the queries of the model's denoiser, in diffusers' names."""
    model = engine._load(folder)
    prefix = "transformer" if model.is_transformer else "unet"
    generator, tensors = torch.Generator().manual_seed(0), {}
    for name, layer in model.denoiser.named_modules():
        if name.endswith("to_q") and isinstance(layer, torch.nn.Linear):
            tensors[f"{prefix}.{name}.lora_A.weight"] = torch.randn(2, layer.in_features, generator=generator)
            tensors[f"{prefix}.{name}.lora_B.weight"] = torch.randn(layer.out_features, 2, generator=generator)
    save_file(tensors, file)
    return str(file)


@pytest.mark.parametrize("name", NAMES)
def test_loras_go_on_and_come_off(order, engine, families, name, tmp_path):
    family = read_model(families(name)).abilities
    task = first(family)
    plain = made(order(name, task))
    events = order(name, task, loras=(Lora(lora(engine, families(name), tmp_path / "lora.safetensors")),))
    assert family.loras and not np.array_equal(plain, made(events))
    assert np.array_equal(plain, made(order(name, task)))


@pytest.mark.parametrize("name", NAMES)
def test_textual_inversions_and_reference_images_are_refused_where_the_table_has_none(
        order, engine, families, name, tmp_path):
    family = read_model(families(name)).abilities
    task = first(family)
    file = tmp_path / "look.safetensors"
    readers = [getattr(engine._load(families(name)).base, f"text_encoder{end}", None) for end in ("", "_2")]
    tensors = {key: torch.randn(1, reader.get_input_embeddings().weight.shape[1])
               for key, reader in zip(("clip_l", "clip_g"), readers, strict=True) if reader is not None}
    save_file(tensors if len(tensors) > 1 else {"emb_params": tensors["clip_l"]}, file)
    events = order(name, task, prompt="red look", embeddings=(Embedding("look", str(file)),))
    if family.embeddings:
        made(events)
    else:
        assert "Textual inversions do not work" in refused(events)
    if not family.reference:
        assert "Reference images do not work" in refused(order(name, task, ip_adapter=str(file)))


def test_an_unknown_class_paints_from_words():
    family = family_of("SomethingNewPipeline")
    assert family.tasks == (TEXT_TO_IMAGE,) and family.pipelines == {TEXT_TO_IMAGE: "SomethingNewPipeline"}
