"""Choices, lists, LoRA tags and weights in prompts."""
from __future__ import annotations

import pytest

from blender_sd.protocol import wording
from blender_sd.protocol.request import Request


def test_a_choice_is_made_by_the_seed_and_only_once():
    prompt = "{red|green|blue} brick, {old|{very |}new}"
    made = {seed: wording.chosen(prompt, seed) for seed in range(60)}
    assert made == {seed: wording.chosen(prompt, seed) for seed in range(60)}
    assert set(made.values()) == {f"{colour} brick, {age}" for colour in ("red", "green", "blue") for age in ("old", "very new", "new")}
    assert all(wording.chosen(text, 5) == text for text in made.values())


@pytest.mark.parametrize("prompt", ["a {b", "a } b", "}{", "a | b", ""])
def test_braces_that_are_not_closed_are_literal(prompt):
    assert wording.chosen(prompt, 3) == prompt


def test_each_picture_of_a_batch_chooses_for_itself_as_it_would_alone():
    request = Request(prompt="{a|b|c|d|e|f|g|h}", negative="{x|y|z}", seed=7, count=16)
    alone = [request.single(index) for index in range(16)]
    assert len({one.prompt for one in alone}) > 3 and len({one.negative for one in alone}) > 1
    assert all(one.single(0) == one for one in alone), "what is written into the PNG makes the same picture again"
    assert Request(prompt="{a|b|c|d|e|f|g|h}", negative="{x|y|z}", seed=11).single(0) == alone[4]


def test_lists_are_choices_and_may_name_lists():
    lists = {"wall": ["__colour__ brick", "plaster"], "colour": ["red", "green"]}
    assert wording.with_lists("a __wall__, __colour__", lists.__getitem__) == "a {{red|green} brick|plaster}, {red|green}"
    assert wording.with_lists("snake_case__ and __", lists.__getitem__) == "snake_case__ and __"
    endless = wording.with_lists("__x__", lambda name: ["__x__ __x__"] * 50)
    assert len(endless) < 200_000


@pytest.mark.parametrize(("prompt", "text", "tags"), [
    ("wall <lora:bricks:0.8>", "wall", [("bricks", 0.8)]),
    ("<lora:a> wall <lora:b c:-.5>, old", "wall, old", [("a", 1.0), ("b c", -0.5)]),
    (r"<lora:C:\loras\a.safetensors:0.5>", "", [(r"C:\loras\a.safetensors", 0.5)]),
    ("a <b> c <lora:>", "a <b> c <lora:>", []),
])
def test_lora_tags(prompt, text, tags):
    assert wording.without_loras(prompt) == (text, tags)
    for name, weight in tags:
        assert wording.without_loras(wording.lora_tag(name, weight))[1] == [(name, weight)]


@pytest.mark.parametrize(("prompt", "pieces"), [
    ("a brick wall", [("a brick wall", 1)]),
    ("a (mossy:1.3) wall", [("a ", 1), ("mossy", 1.3), (" wall", 1)]),
    ("(a)", [("a", 1.1)]), ("[a]", [("a", 1 / 1.1)]), ("((a))", [("a", 1.1 * 1.1)]),
    ("(a (b:1.5) c:0.5)", [("a ", 0.5), ("b", 0.75), (" c", 0.5)]),
    (r"wall \(old\)", [("wall (old)", 1)]),
    ("wall (old", [("wall (old", 1)]), ("wall) old]", [("wall) old]", 1)]), ("a (b [c) d", [("a (b [c) d", 1)]),
    ("(a:1.2) [b", [("a", 1.2), (" [b", 1)]), ("12:30 a:1.5", [("12:30 a:1.5", 1)]), ("(:1.3)", []), ("", []), ("a\\", [("a\\", 1)]),
    ("(ratio 16:9:1.2)", [("ratio 16:9", 1.2)]),
])
def test_weights(prompt, pieces):
    found = wording.weighted(prompt)
    assert [text for text, _ in found] == [text for text, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])
    assert wording.plain(prompt) == "".join(text for text, _ in pieces)


@pytest.mark.parametrize(("prompt", "found"), [
    ("a wall, embedding:old_look", [("embedding:old_look", "old_look")]),
    ("(embedding:bad-hands.v2:1.2), embedding:x.", [("embedding:bad-hands.v2", "bad-hands.v2"), ("embedding:x", "x")]),
    ("an embedding: of", []), ("", []),
])
def test_textual_inversions(prompt, found):
    assert wording.embeddings(prompt) == found
