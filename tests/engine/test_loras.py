"""LoRAs, made in code for the tiny models in both of the names that are common: put on, weighed, stacked, and taken off
without a trace."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Step
from blender_sd.core.parts import Lora
from tests.support.engine import small
from tests.support.tiny_loras import RANK, write

pytestmark = pytest.mark.slow


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


@pytest.mark.parametrize("name", ["sd", "sdxl", "taesd"])
@pytest.mark.parametrize("names", ["kohya", "diffusers"])
def test_a_lora_changes_the_picture_and_leaves_no_trace(request, run, tmp_path, name, names):
    model = request.getfixturevalue(name)
    file = write(model, tmp_path / "brick.safetensors", names)
    plain = made(run(small(model)))
    assert not np.array_equal(plain, made(run(small(model, loras=(Lora(file),)))))
    assert np.array_equal(plain, made(run(small(model)))), "taken off again, bit for bit"
    assert np.array_equal(plain, made(run(small(model, loras=(Lora(file, 0.0),)))))


def test_both_names_mean_the_same(run, sd, tmp_path):
    files = [write(sd, tmp_path / f"{names}.safetensors", names) for names in ("kohya", "diffusers")]
    pictures = [made(run(small(sd, loras=(Lora(file),)))) for file in files]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_weights_count_and_loras_add_up(run, sd, tmp_path):
    one, two = (write(sd, tmp_path / f"{seed}.safetensors", "diffusers", seed) for seed in (1, 2))
    pictures = {key: made(run(small(sd, loras=key))) for key in (
        (Lora(one),), (Lora(one, 0.5),), (Lora(two),), (Lora(one), Lora(two)), (Lora(one), Lora(two, 0.0)))}
    distinct = {picture.tobytes() for picture in pictures.values()}
    assert len(distinct) == 4 and np.array_equal(pictures[(Lora(one),)], pictures[(Lora(one), Lora(two, 0.0))])
    assert np.array_equal(pictures[(Lora(one), Lora(two))], made(run(small(sd, loras=(Lora(one), Lora(two))))))


def test_a_batch_loads_its_loras_once(run, sd, tmp_path, monkeypatch):
    from blender_sd.engine.models import weight_files

    loaded = []
    monkeypatch.setattr(
        weight_files, "read",
        lambda file, *rest, real=weight_files.read, **options: loaded.append(file) or real(file, *rest, **options))
    order = small(sd, loras=(Lora(write(sd, tmp_path / "a.safetensors", "diffusers")),))
    made(run(order))
    made(run(order))
    assert len(loaded) == 1
    write(sd, tmp_path / "a.safetensors", "diffusers", seed=9)
    made(run(order))
    assert len(loaded) == 2, "a file that has changed is read again"


@pytest.mark.parametrize(("what", "kind", "words"), [
    ("foreign", InvalidRequest, "does not fit"), ("nothing of a LoRA", InvalidRequest, "does not fit"),
    ("truncated", ModelUnreadable, "broken"), ("pickle", ModelUnreadable, "no safetensors"), ("missing", ModelNotFound, "no LoRA file"),  # noqa: E501
])
def test_what_does_not_fit_is_refused_and_nothing_stays(request, run, sd, tmp_path, what, kind, words):
    plain = made(run(small(sd)))
    good = write(sd, tmp_path / "good.safetensors", "diffusers")
    file = tmp_path / "bad.safetensors"
    if what == "foreign":
        write(request.getfixturevalue("sdxl"), file, "diffusers")
    elif what == "nothing of a LoRA":
        save_file({"weight": torch.zeros(3)}, file)
    elif what == "truncated":
        file.write_bytes((tmp_path / "good.safetensors").read_bytes()[:200])
    elif what == "pickle":
        file = file.with_suffix(".pt")
        torch.save({}, file)
    events = run(small(sd, loras=(Lora(good), Lora(str(file)))))
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    assert not [event for event in events if isinstance(event, Step)]
    assert np.array_equal(plain, made(run(small(sd))))


def test_each_picture_of_an_order_wears_the_loras_of_its_own_choices(run, sd, tmp_path):
    """What the PNG says of the picture and of its origin is what was on."""
    from blender_sd.core.image_origin import ORIGIN_KEY, Origin
    from blender_sd.library.png import read_text

    one, two = (write(sd, tmp_path / f"{name}.safetensors", "diffusers", seed)
                for seed, name in enumerate(("one", "two")))
    named = (Lora(one, tag="one"), Lora(two, tag="two"))
    events = run(small(sd, prompt="{<lora:one:1>|<lora:two:0.5>|} red wall", loras=named, count=8, seed=1))
    results = events[-1].results
    assert {result.request.loras for result in results} == {(Lora(one),), (Lora(two, 0.5),), ()}
    for result in results:
        assert result.request.prompt.strip() == "red wall"
        alone = made(run(small(sd, prompt=result.request.prompt, loras=result.request.loras, seed=result.request.seed)))
        assert np.array_equal(np.asarray(Image.open(result.path)), alone)
        origin = Origin.from_json(read_text(result.path)[ORIGIN_KEY])
        assert [part.name for part in origin.parts] == [{one: "one", two: "two"}[lora.file]
                                                        for lora in result.request.loras]


def test_the_text_encoders_have_a_weight_of_their_own(run, sd, tmp_path):
    """As in A1111's tag <lora:name:0.8:0.6>: of a LoRA for the text encoder only that one counts, of one for the UNet
    only the other."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel.from_pretrained(sd, subfolder="text_encoder")
    generator, tensors = torch.Generator().manual_seed(1), {}
    for layer, part in encoder.named_modules():
        if layer.endswith("q_proj"):
            stem = "lora_te_" + layer.removeprefix("text_model.").replace(".", "_").join(("text_model_", ""))
            tensors |= {f"{stem}.lora_down.weight": torch.randn(RANK, part.in_features, generator=generator) * 4,
                        f"{stem}.lora_up.weight": torch.randn(part.out_features, RANK, generator=generator) * 4}
    words = str(tmp_path / "words.safetensors")
    save_file(tensors, words)
    unet = write(sd, tmp_path / "unet.safetensors", "kohya")
    pictures = {
        lora: made(run(small(sd, prompt="a cat", guidance=20.0, loras=(lora,) if lora else ())))
        for lora in (None, Lora(words, 0.5), Lora(words, 0.0, 0.5), Lora(words, 0.5, 0.0), Lora(unet, 0.5),
                     Lora(unet, 0.5, 0.0), Lora(unet, 0.0, 0.5))}
    none, *others = pictures.values()
    same = [np.array_equal(none, picture) for picture in others]
    assert same == [False, False, True, False, False, True]
    assert np.array_equal(others[0], others[1]) and np.array_equal(others[3], others[4])
