"""Textual inversions on tiny models: of one vector and of several, with weights, for one encoder and for two, and gone
without a trace."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Note
from blender_sd.core.parts import Embedding, Lora
from tests.support import tiny_loras
from tests.support.engine import small

pytestmark = pytest.mark.slow

WORD = "embedding:old_look"


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


def inversion(name: str, file, vectors: int = 1, seed: int = 0) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"clip_l": 32, "clip_g": 48} if name == "sdxl" else {"emb_params": 32}
    save_file({key: torch.randn(vectors, size, generator=generator) for key, size in sizes.items()}, file)
    return Embedding(WORD, str(file))


@pytest.mark.parametrize("name", ["sd", "sdxl", "taesd"])
@pytest.mark.parametrize("vectors", [1, 3])
def test_a_word_of_its_own_counts_and_leaves_no_trace(request, run, tmp_path, name, vectors):
    model = request.getfixturevalue(name)
    one, two = (inversion(name, tmp_path / f"{seed}.safetensors", vectors, seed) for seed in (1, 2))

    def paint(prompt, *embeddings, **changes):
        return made(run(small(model, prompt=prompt, guidance=8.0, embeddings=embeddings, **changes)))

    plain = paint(f"a {WORD} wall")
    pictures = [plain, paint(f"a {WORD} wall", one), paint(f"a {WORD} wall", two), paint(f"a ({WORD}:1.4) wall", one),
                paint("a wall", one, negative=WORD), paint("a wall", one)]
    assert len({picture.tobytes() for picture in pictures}) == 6
    assert np.array_equal(plain, paint(f"a {WORD} wall"))
    assert np.array_equal(pictures[1], paint(f"a {WORD} wall", one))


@pytest.mark.parametrize(("name", "word", "parts"), [
    ("sd", "<my style>", {"string_to_param.*": 32}), ("sd", "me", {"emp_params": 32}), ("sd", "me", {"clip_l": 32}),
    ("sdxl", "me", {"clip_l": 32, "clip_g": 48}), ("sdxl", "my_style", {"clip_g": 48})])
def test_those_in_a_lora_count_where_their_word_stands(request, run, engine, tmp_path, name, word, parts):
    model, generator = request.getfixturevalue(name), torch.Generator().manual_seed(3)
    vectors = {part: torch.randn(2, size, generator=generator) for part, size in parts.items()}
    tensors = {f"bundle_emb.{word}.{part}": value for part, value in vectors.items()}
    plain_lora = load_file(tiny_loras.write(model, tmp_path / "plain.safetensors", "kohya"))
    save_file({**plain_lora, **tensors}, tmp_path / "bundle.safetensors")
    encoders = engine._load(model).base
    learnt = ({"text_encoder": vectors.get("clip_l"), "text_encoder_2": vectors.get("clip_g")} if name == "sdxl"
              else {"text_encoder": next(iter(vectors.values()))})

    def paint(prompt, lora, *embeddings, **changes):
        events = run(small(model, prompt=prompt, loras=(Lora(str(tmp_path / f"{lora}.safetensors"), 0.1),),
                           embeddings=embeddings, **changes))
        assert not [event for event in events if isinstance(event, Note) and "left out" in event.text]
        return made(events)

    used = paint(f"a ({word}:1.3) wall", "bundle").astype(int)
    for part, value in learnt.items():
        rows = getattr(encoders, part).get_input_embeddings().weight
        assert value is None or torch.allclose(rows[-2:].float(), value, atol=1e-3), part
    unused = paint(f"a ({word}:1.3) wall", "plain").astype(int)
    assert np.array_equal(paint("a some wall", "bundle"), paint("a some wall", "plain")), "no word of the prompt"
    assert np.abs(used - unused).max() >= 1
    assert not np.array_equal(paint("a wall", "bundle"), paint("a wall", "bundle", negative=word, guidance=8.0))
    with Image.open(run(small(model, prompt=f"a {word} wall", loras=(Lora(str(tmp_path / "bundle.safetensors")),)))[-1].results[0].path) as picture:  # noqa: E501
        assert f"a {word} wall" in picture.info["parameters"]


def test_those_in_a_lora_for_another_kind_of_model_are_named(run, families, tmp_path):
    from tests.support.lora_writers import TRAINERS, denoiser, layers_of, low_rank

    folder = families("flux")
    tensors, _ = low_rank(TRAINERS["ai-toolkit"], layers_of(denoiser(folder), False))
    save_file({**tensors, "bundle_emb.me.t5": torch.zeros(1, 8), "bundle_emb.me.clip_l_out": torch.zeros(1, 8)}, tmp_path / "x.safetensors")  # noqa: E501
    events = run(small(folder, prompt="me", sampler="euler", loras=(Lora(str(tmp_path / "x.safetensors")),)))
    notes = [event for event in events if isinstance(event, Note) and event.about == "x"]
    assert isinstance(events[-1], Finished) and "me" in notes[-1].text and "bundle_emb.me.clip_l_out" in notes[0].text


@pytest.mark.parametrize(("what", "kind", "words"), [
    ("foreign", InvalidRequest, "does not fit"), ("truncated", ModelUnreadable, "broken"),
    ("missing", ModelNotFound, "no textual inversion"), ("pickle", ModelUnreadable, "no safetensors"),
])
def test_what_does_not_fit_is_refused_and_nothing_stays(run, sd, tmp_path, what, kind, words):
    plain = made(run(small(sd, prompt=WORD)))
    good = inversion("sd", tmp_path / "good.safetensors")
    file = tmp_path / ("bad.pt" if what == "pickle" else "bad.safetensors")
    if what == "foreign":
        inversion("sdxl", file)
    elif what != "missing":
        file.write_bytes((tmp_path / "good.safetensors").read_bytes()[:40])
    events = run(small(sd, prompt=WORD, embeddings=(good, Embedding("embedding:bad", str(file)))))
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    assert np.array_equal(plain, made(run(small(sd, prompt=WORD))))
