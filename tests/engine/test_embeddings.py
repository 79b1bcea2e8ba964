"""Textual inversions on tiny models: of one vector and of several, with weights, for one encoder and for two, and gone
without a trace."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished
from blender_sd.core.parts import Embedding
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
