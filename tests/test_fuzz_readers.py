"""Property tests: every reader of strangers' bytes (`fuzz_targets`) over bytes of any kind and over damaged sound ones,
and every message over all that its fields can hold. The same examples at every run; the bench `fuzz` looks further, led
by coverage."""
from __future__ import annotations

import dataclasses
import io
import string
import typing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from blender_sd.engine.conditioning import prompts
from blender_sd.core import parts, prompt_choices, prompt_steps
from blender_sd.protocol import framing, messages, shots, surfaces
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.common_settings import MAX_SEED
from blender_sd.core.tasks import Inpaint, PbrMaps, TextToImage
from blender_sd.protocol.engine_config import MEMORY_USES, PRECISIONS
from blender_sd.core.request import Request
from tests.support import fuzz_targets as fuzz

pytestmark = pytest.mark.slow

set_hypothesis_home_dir(fuzz.place())  # what it remembers of Unicode and of our constants is thrown away
ALIKE = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
# What breaks readers, to be put into sound input.
SPLINTERS = st.sampled_from([
    b"\0",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b",",
    b":",
    b"=",
    b".",
    b"-",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"1e999",
    b"-1",
    b"NaN",
    b"Infinity",
    b"9" * 30,
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"__",
    b"<lora:",
    b"../",
    b"\xef\xbb\xbf",])


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A sound input after one to five accidents."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        at, many = draw(st.integers(0, len(data))), draw(st.integers(1, 9))
        accident = draw(st.sampled_from(["cut", "drop", "put", "repeat", "flip"]))
        if accident == "cut":
            del data[at:]
        elif accident == "drop":
            del data[at:at + many]
        elif accident == "put":
            data[at:at] = draw(SPLINTERS)
        elif accident == "repeat":
            data[at:at] = data[at:at + 40] * many
        elif at < len(data):
            data[at] ^= 1 << many % 8
    return bytes(data)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(name):
    for seed in fuzz.SEEDS[name]:
        fuzz.TARGETS[name](seed)

    @settings(max_examples=120, **ALIKE)
    @given(st.one_of(damaged(fuzz.SEEDS[name]), damaged(fuzz.SEEDS[name]), st.binary(max_size=200)))
    def read(data: bytes) -> None:
        fuzz.TARGETS[name](data)

    read()


# ---- messages --------------------------------------------------------------------------------------------------------

WORDS = st.text(max_size=20)  # surrogates left out: a request refuses them
PATHS = st.text(st.characters(),
                max_size=20) | st.binary(max_size=9).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
ARRAYS = st.builds(lambda high, wide, deep: np.arange(high * wide * deep, dtype=np.uint8).reshape(high, wide, deep),
                   st.integers(1, 5), st.integers(1, 5), st.sampled_from([3, 4]))
REQUESTS = st.builds(
    Request, prompt=WORDS, negative=WORDS, model=WORDS, width=st.integers(16, 8192), steps=st.integers(1, 500),
    guidance=st.floats(0, 100), seed=st.integers(0, MAX_SEED), count=st.integers(1, 64),
    tiling=st.sampled_from(["none", "x", "y", "xy"]),
    task=st.builds(Inpaint, strength=st.floats(0, 1), full_res=st.booleans(), grow=st.integers(-512, 512))
    | st.builds(TextToImage, refine_scale=st.floats(1, 8), upscaler=WORDS),
    loras=st.lists(st.builds(parts.Lora, WORDS, st.floats(-4, 4)), max_size=3).map(tuple),
    embeddings=st.lists(st.builds(parts.Embedding, WORDS, WORDS), max_size=3).map(tuple), controls=st.lists(
        st.builds(parts.Control, st.sampled_from(parts.CONTROL_KINDS), WORDS, st.floats(0, 4), st.floats(0, 0.4),
                  st.floats(0.5, 1)), max_size=3).map(tuple))
SOURCES = st.builds(messages.Source, pixels=ARRAYS) | st.builds(messages.Source, encoded=st.binary(max_size=50))
FIELDS = {
    "str": PATHS,
    "int": st.integers(-2**63, 2**63),
    "bool": st.booleans(),
    "Request": REQUESTS,
    "EngineConfig": st.builds(
        messages.EngineConfig, device=WORDS, precision=st.sampled_from(sorted(PRECISIONS)),
        threads=st.integers(0, 1024), memory_mb=st.integers(0, 2**24),
        memory_use=st.sampled_from(sorted(MEMORY_USES)), compile=st.booleans(), credentials=PATHS,
        safety_threshold=st.floats(0, 1), blocked_words=WORDS),
    "dict[str, Source]": st.dictionaries(WORDS, SOURCES, max_size=3),
    "dict[str, str]": st.dictionaries(WORDS, WORDS, max_size=3),
    "np.ndarray | None": st.none() | ARRAYS,
    "float": st.floats(allow_nan=False),
    "Source | None": st.none() | SOURCES,
    "np.ndarray": st.sampled_from(["float32", "int32"]).flatmap(
        lambda kind: st.integers(0, 4).map(lambda count: np.arange(3 * count, dtype=kind).reshape(count, 3))),
    "tuple[float, ...]": st.lists(st.floats(allow_nan=False), max_size=4).map(tuple),
    "tuple[str, ...]": st.lists(WORDS, max_size=3).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(-2**31, 2**31), max_size=3).map(tuple),
    "ShotOrder | None": st.none() | st.deferred(lambda: strategy(shots.ShotOrder)),
    "tuple[np.ndarray, ...]": st.deferred(lambda: st.lists(FIELDS["np.ndarray"], max_size=2).map(tuple)),
    "tuple[Bare, ...]": st.deferred(lambda: st.lists(strategy(surfaces.Bare), max_size=2).map(tuple)),
    "Triangles": st.deferred(lambda: strategy(surfaces.Triangles)),
    "tuple[Lens, ...]": st.deferred(lambda: st.lists(strategy(surfaces.Lens), max_size=2).map(tuple)),
    "tuple[Onto, ...]": st.deferred(lambda: st.lists(strategy(surfaces.Onto), max_size=2).map(tuple)),
    "PbrMaps | None": st.none() | st.builds(PbrMaps, map_bits=st.sampled_from(["8", "16"]),
                                            metres=st.floats(0.001, 1000), intrinsics=WORDS),
    "Scenery | None": st.none() | st.deferred(lambda: strategy(surfaces.Scenery)),
    "tuple[Result, ...]": st.deferred(lambda: st.lists(strategy(messages.Result), max_size=2).map(tuple)),}


def strategy(cls: type) -> st.SearchStrategy:
    """Messages of the class, by the types that its fields declare."""
    return st.builds(cls, **{field.name: FIELDS[field.type] for field in dataclasses.fields(cls)})


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(same(getattr(one, spec.name), getattr(other, spec.name))
                                                for spec in dataclasses.fields(one))
    if isinstance(one, dict):
        return type(other) is dict and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return type(other) is tuple and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("cls", framing.MESSAGES, ids=[cls.__name__ for cls in framing.MESSAGES])
def test_every_message_survives_the_way_whatever_is_in_it(cls):
    @settings(max_examples=25, **ALIKE)
    @given(strategy(cls))
    def travel(message: typing.Any) -> None:
        assert same(framing.read_message(io.BytesIO(fuzz.framed(message))), message)

    travel()


# ---- what people type ------------------------------------------------------------------------------------------------

NOTATION = st.lists(
    st.sampled_from([*"()[]{}|:.\\_ <>", "<lora:", "embedding:", "__a__", "1.3", "-", "moss", "砖"])
    | st.text(max_size=3), max_size=30).map("".join)


@settings(max_examples=300, **ALIKE)
@given(NOTATION, st.integers(0, MAX_SEED))
def test_prompts_of_any_notation(prompt, seed):
    made = prompt_choices.with_lists(prompt, lambda name: ["x", "{y|z}"])
    chosen = prompt_choices.chosen(made, seed)
    assert chosen == prompt_choices.chosen(made, seed)
    words, tags = prompt_choices.without_loras(chosen)
    assert prompt_choices.without_loras(words + " <lora:a b:0.5>")[1][-1] == prompt_choices.LoraTag("a b", 0.5)
    assert all(text and -1e9 < weight < 1e9 for text, weight in prompt_steps.weighted(words))
    if not set(prompt) & set("\\()[]"):
        assert prompt_steps.plain(prompt) == prompt


@settings(max_examples=100, **ALIKE)
@given(st.dictionaries(st.sampled_from([spec.name for spec in dataclasses.fields(Request)]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3), max_leaves=6), max_size=4))  # noqa: E501
def test_settings_of_any_type(changes):
    try:
        made = Request.from_dict({"format": 1, **changes})
    except InvalidRequest as error:
        fuzz.refused(error)
    else:
        assert Request.from_json(made.to_json()) == made


@settings(max_examples=150, **ALIKE)
@given(st.text(string.ascii_letters + " ,.\n砖", max_size=80), st.integers(1, 12))
def test_what_of_a_prompt_is_not_read(prompt, room):
    class Tokenizer:
        """A token for each word, as fast tokenizers give them."""

        is_fast, model_max_length = True, room + 2

        def num_special_tokens_to_add(self) -> int:
            return 2

        def __call__(self, text: str, **_: object) -> dict:
            spans, at = [], 0
            for word in text.split():
                at = text.index(word, at)
                spans.append((at, at + len(word)))
                at += len(word)
            return {"input_ids": list(range(len(spans))), "offset_mapping": spans}

    class Pipe:
        components = {"tokenizer": Tokenizer(), "text_encoder": object()}

        def __call__(self, max_sequence_length: int = room + 2) -> None:
            pass

    lost = prompts.cut_off(Pipe(), prompt)
    assert prompt.strip().endswith(lost) and len(lost.split()) == max(0, len(prompt.split()) - room)
    assert not lost or lost[:20] in prompts.note(Pipe(), prompt)
