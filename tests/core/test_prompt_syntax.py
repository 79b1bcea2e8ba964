"""Choices, lists, LoRA tags and weights in prompts."""
from __future__ import annotations

import pytest

from blender_sd.core import prompt_choices, prompt_steps
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.parts import Lora
from blender_sd.core.prompt_nodes import Tag
from blender_sd.core.prompt_syntax import parse
from blender_sd.core.request import Request


def test_a_choice_is_made_by_the_seed_and_only_once():
    prompt = "{red|green|blue} brick, {old|{very |}new}"
    made = {seed: prompt_choices.chosen(prompt, seed) for seed in range(60)}
    assert made == {seed: prompt_choices.chosen(prompt, seed) for seed in range(60)}
    assert set(made.values()) == {
        f"{colour} brick, {age}" for colour in ("red", "green", "blue") for age in ("old", "very new", "new")}
    assert all(prompt_choices.chosen(text, 5) == text for text in made.values())


@pytest.mark.parametrize("prompt", ["a {b", "a } b", "}{", "a | b", ""])
def test_braces_that_are_not_closed_are_literal(prompt):
    assert prompt_choices.chosen(prompt, 3) == prompt


def test_each_picture_of_a_batch_chooses_for_itself_as_it_would_alone():
    request = Request(prompt="{a|b|c|d|e|f|g|h}", negative="{x|y|z}", seed=7, count=16)
    alone = [request.single(index) for index in range(16)]
    assert len({one.prompt for one in alone}) > 3 and len({one.negative for one in alone}) > 1
    assert all(one.single(0) == one for one in alone), "what is written into the PNG makes the same picture again"
    assert Request(prompt="{a|b|c|d|e|f|g|h}", negative="{x|y|z}", seed=11).single(0) == alone[4]


def test_lists_are_choices_and_may_name_lists():
    lists = {"wall": ["__colour__ brick", "plaster"], "colour": ["red", "green"]}
    assert prompt_choices.with_lists("a __wall__, __colour__",
                                     lists.__getitem__) == "a {{red|green} brick|plaster}, {red|green}"
    assert prompt_choices.with_lists("snake_case__ and __", lists.__getitem__) == "snake_case__ and __"
    with pytest.raises(InvalidRequest, match="'x' names itself"):
        prompt_choices.with_lists("__x__", lambda name: ["__x__ __x__"] * 50)


@pytest.mark.parametrize("line", ["a [red|blue] "
                                  "car", "a tag |_|", "smile :}", "frown {:", ":(", ":)", "a (b", "x]", "2$$ each", "a: b",  # noqa: E501
                                  "(a:1.2)", "<3", "back\\", "\\o/", "<lora:a|b:0.5> x", "a \\(b\\)", "16:9", "{:|"])
def test_a_line_of_a_list_is_one_option_whatever_it_holds(line):
    lines = [line, "wink", "{"]
    for prompt in ("__x__", "an __x__ wall", "{a __x__|b __x__}"):
        made = prompt_choices.with_lists(prompt, lambda name: lines)
        chosen = {prompt_choices.chosen(made, seed) for seed in range(60)}
        assert prompt.replace("__x__", line) in chosen if "{" not in prompt else {f"a {line}", f"b {line}"} <= chosen
        assert len(chosen) == 6 if "{" in prompt else len(chosen) == 3
        assert all(prompt_choices.chosen(text, 5) == text
                   for text in chosen), "what is written into the PNG is read alike"
    made = prompt_choices.with_lists("(__x__:1.5)", lambda name: [line])
    assert prompt_steps.weighted(prompt_choices.chosen(made, 1)) == [
        (text, weight * 1.5) for text, weight in prompt_steps.weighted(line)]


def test_a_line_may_say_how_often_it_is_chosen():
    made = prompt_choices.with_lists("__x__ wall", lambda name: ["9::red", "1::green", "0::blue"])
    chosen = [prompt_choices.chosen(made, seed) for seed in range(200)]
    assert chosen.count("red wall") > 150 and set(chosen) == {"red wall", "green wall"}


def test_of_a_list_longer_than_a_prompt_some_lines_are_taken_by_the_seed():
    lines = [f"line {number}" for number in range(100_000)]
    made = [prompt_choices.with_lists("a __x__ b __x__", lambda name: lines, seed) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2] and all(len(text) < 110_000 for text in made)
    assert len({prompt_choices.chosen(made[0], seed) for seed in range(20)}) == 20


@pytest.mark.parametrize(("prompt", "text", "tags"), [
    ("wall <lora:bricks:0.8>", "wall", [("bricks", 0.8)]),
    ("<lora:a> wall <lora:b c:-.5>, old", "wall, old", [("a", 1.0), ("b c", -0.5)]),
    (r"<lora:C:\loras\a.safetensors:0.5>", "", [(r"C:\loras\a.safetensors", 0.5)]),
    ("a <b> c <lora:>", "a <b> c <lora:>", []),
    ("wall <lyco:a:1>", "wall", [("a", 1.0)]),
    ("<LoRA:a:0.5>", "", [("a", 0.5)]),
    ("(old <lora:a:1> wall:1.2)", "(old wall:1.2)", [("a", 1.0)]),
    ("<lora:my__lora__v2 [x] (y) {z}:0.5>", "", [("my__lora__v2 [x] (y) {z}", 0.5)]),
    ("{<lora:a:1> red|green}", "{<lora:a:1> red|green}", []),
])
def test_lora_tags(prompt, text, tags):
    assert prompt_choices.without_loras(prompt) == (text, [prompt_choices.LoraTag(*tag) for tag in tags])
    assert prompt_choices.with_lists(prompt, {}.__getitem__) == prompt, "a name with double underscores names no list"
    for name, weight in tags:
        assert prompt_choices.without_loras(prompt_choices.lora_tag(name, weight))[1] == [
            prompt_choices.LoraTag(name, weight)]


@pytest.mark.parametrize(("tag", "expected"), [
    ("<lora:a:0.8:0.6>", ("a", 0.6, 0.8)), ("<lora:a:te=0.8:unet=0.6>", ("a", 0.6, 0.8)), ("<lora:a:0.5:0.5>", ("a", 0.5, None)),  # noqa: E501
    ("<lora:a:1:lbw=MIDD>", ("a", 1.0, None, ("lbw=MIDD",))), ("<lora:a:1:1:4>", ("a", 1.0, None, ("4",))), ("<lora:a:>", ("a",)),  # noqa: E501
    ("<lora:a:9>", ("a", 4.0)), ("<lora:a b:c>", ("a b:c",)), ("<lora:a:0,8>", ("a", 1.0, None, ("0,8",))),
])
def test_what_a_lora_tag_says(tag, expected):
    assert prompt_choices.read_tag(tag) == prompt_choices.LoraTag(*expected)
    name, weight, text = (*expected, 1.0, None)[:3] if len(expected) < 3 else expected[:3]
    if len(expected) == 3:
        assert prompt_choices.read_tag(prompt_choices.lora_tag(name, weight, text)) == prompt_choices.LoraTag(*expected)


def test_only_the_loras_of_the_options_that_are_chosen_are_put_on():
    files = tuple(Lora(f"/{name}", tag=name) for name in ("a", "b"))
    request = Request(prompt="{<lora:a:0.5> red|<lora:{b|b}:{0.25|0.25}> green} wall", seed=3, count=16,
                      loras=(Lora("/c", 0.7), *files))
    made = [request.single(index) for index in range(16)]
    assert {(one.prompt, one.loras) for one in made} == {("red wall", (Lora("/c", 0.7), Lora("/a", 0.5))),
                                                         ("green wall", (Lora("/c", 0.7), Lora("/b", 0.25)))}
    assert all(one.single(0) == one for one in made)
    assert Request.from_json(request.to_json()) == request


@pytest.mark.parametrize(("prompt", "expected"), [
    ("{red|green {dark|light}} brick", None), ("{2$$a|b|c}", None), ("{2$$ and $$a|b|c}", None), ("{1-2$$a|b}", None),
    ("{0.5::a|0.2::b}", None), ("{a|}x", None), ("{-1$$a|b}", None), ("{2-$$a|b|c}", None), ("{(a:1.2)|(b)}", None),
    ("<lora:{a|b}:0.5>", None), ("{5$$a|b}", None), ("{~a|b}", None), ("{@2$$a|b}", None), ("{2 $$a|b}", ["a,b", "b,a"]),  # noqa: E501
    ("{2$$ | $$a|b}", None), ("{1 - 2$$a|b}", ["a", "b", "a,b", "b,a"]),
    ("{[a|b]|c}", ["a", "b", "c"]),
])
def test_alternatives_are_those_of_dynamic_prompts(prompt, expected):
    found, complete = prompt_choices.alternatives(prompt, 100)
    if expected is None:
        generators = pytest.importorskip("dynamicprompts.generators")
        expected = generators.CombinatorialPromptGenerator().generate(prompt, 100)
    assert complete and {text.replace(", ", ",") for text in found} == set(expected)
    chosen = {prompt_choices.chosen(prompt, seed).replace(", ", ",") for seed in range(300)}
    assert chosen == set(expected) or "[" in prompt


def test_options_are_chosen_as_often_as_they_weigh():
    chosen = [prompt_choices.chosen("{0.9::a|0.1::b|0::c}", seed) for seed in range(400)]
    assert 320 < chosen.count("a") < 395 and "c" not in chosen
    pairs = [prompt_choices.chosen("{2$$5::a|b|c}", seed).split(", ") for seed in range(400)]
    assert all(len(set(pair)) == 2 for pair in pairs) and 280 < sum("a" in pair for pair in pairs)


@pytest.mark.parametrize(("prompt", "steps"), [
    ("[cat:dog:0.5] x", ["cat x", "cat x", "dog x", "dog x"]), ("[cat:dog:1]", ["cat", "dog", "dog", "dog"]),
    ("[cat:3]", ["", "", "", "cat"]), ("[cat::0.25]", ["cat", "", "", ""]), ("[cat|dog]", ["cat", "dog", "cat", "dog"]),
    ("[a|b|]", ["a", "b", "", "a"]), ("[a:[b|c]:2]", ["a", "a", "b", "c"]), ("[(a:1.2)|b:c]", ["a", "b:c", "a", "b:c"]),
    ("[a:b:1.0]", ["a", "a", "a", "a"]), ("([a|b]:1.2)", ["a", "b", "a", "b"]), ("[a :)|b] (c)", ["a :) c", "b c", "a :) c", "b c"]),  # noqa: E501
    ("\\[a|b\\]", ["[a|b]"] * 4), ("[a]", ["a"] * 4),
])
def test_words_that_change_with_the_step(prompt, steps):
    assert [prompt_steps.plain(prompt_steps.at_step(prompt, step, 4)) for step in range(1, 5)] == steps
    assert prompt_steps.changes(prompt) == (len(set(steps)) > 1 or prompt == "[a:b:1.0]")
    assert list(dict.fromkeys(steps)) == [prompt_steps.plain(text) for text in prompt_steps.readings(prompt, 4)]


def test_weights_hold_while_words_change():
    assert prompt_steps.weighted(prompt_steps.at_step("([a:(b:2):1] c:1.5)", 2, 4)) == [("b", 3.0), (" c", 1.5)]
    assert prompt_steps.weighted("[a|b] c") == [("a c", 1.0)]


@pytest.mark.parametrize(("prompt", "parts", "words"), [
    ("a wall BREAK a sky", [["a wall"], ["a sky"]], "a wall, a sky"), ("a, BREAK, (b:1.2)", [["a"], ["b"]], "a, b"),
    ("BREAK a BREAK", [["a"]], "a"), ("(a BREAK b:1.2)", [["a"], ["b"]], "a, b"), ("BREAKFAST", [["BREAKFAST"]], "BREAKFAST"),  # noqa: E501
    ("BREAK", [[]], ""),
])
def test_break_parts_what_is_read_at_once(prompt, parts, words):
    assert [[text for text, _ in part] for part in prompt_steps.chunks(prompt)] == parts
    assert prompt_steps.plain(prompt) == words


@pytest.mark.parametrize(("prompt", "signs"), [
    ("{2$$a|2$$b}", ["$$"]), ("a AND b", ["AND"]), ("<hypernet:x:1> "
                                                    "a", ["<hypernet:x:1>"]), ("<segment:face>", ["<segment:face>"]),
    ("1.5::cat:: "
     "dog", ["1.5::", "::"]), ("${x} a", ["${x}"]), ("(masterpiece)1.4 wall", ["1.4"]), ("red++ ball", ["++"]),
    ('("a", "b").blend(1, 1)', [".blend"]), ("wall --ar 16:9", ["--ar"]), ("red | green", ["|"]), ("(a:1,2)", [":1,2"]),
    ("__none__", ["__none__"]), ("{% if %}", ["{% if %}"]), ("a ADDCOL b", ["ADDCOL"]), ("a AND_PERP b", ["AND_PERP"]),
    ("[a:b:0,5]", ["[a:b:0,5]"]), ("[from:to:when]", ["[from:to:when]"]), ("(a:1.2.3)", [":1.2.3"]),
    ("__a(x=1)__", ["__a"]), ("__colours", ["__colours"]), ("<lora:a:1", ["<lora:a:1"]), ("< lora:a:1 >", ["< lora:a:1 >"]),  # noqa: E501
    ("lora:a:0.8 wall", ["lora:a:0.8"]), ("# a comment\na wall", ["#"]), ("a /* b */ wall", ["/* b */"]),
    ("（a：1.2）", ["（a：1.2）"]), ("{50%::a}", ["50%::"]), ("#1 wall, number # 5? no, #ff0000", ["#"]),
    ("a wall, (moss:1.2) [old] [a|b] [a:b:0.5] BREAK sky, 16:9, 3 + 4, :) |_| std::vector and \\{x\\}, a_b, semi-gloss "
     "-- x", []),
])
def test_notation_that_is_not_understood_is_named(prompt, signs):
    chosen = prompt_choices.chosen(prompt, 1)
    assert prompt_steps.foreign(chosen) == signs
    note = prompt_steps.note(chosen, "negative prompt")
    assert all(sign in note for sign in signs) and bool(note) == bool(signs)
    assert not any(sign in prompt_steps.plain(chosen)
                   for sign in signs if isinstance(parse(sign)[0], Tag)), "tags are never read as words"


@pytest.mark.parametrize(("prompt", "pieces"), [
    ("a brick wall", [("a brick wall", 1)]),
    ("a (mossy:1.3) wall", [("a ", 1), ("mossy", 1.3), (" wall", 1)]),
    ("(a)", [("a", 1.1)]), ("[a]", [("a", 1 / 1.1)]), ("((a))", [("a", 1.1 * 1.1)]),
    ("(a (b:1.5) c:0.5)", [("a ", 0.5), ("b", 0.75), (" c", 0.5)]),
    (r"wall \(old\)", [("wall (old)", 1)]),
    ("wall (old", [("wall (old", 1)]), ("wall) old]", [("wall) old]", 1)]), ("a (b [c) d", [("a (b [c) d", 1)]),
    ("(a:1.2) [b", [("a", 1.2), (" [b", 1)]), ("12:30 a:1.5", [("12:30 a:1.5", 1)]), ("(:1.3)", []), ("", []), ("a\\", [("a\\", 1)]),  # noqa: E501
    ("(ratio 16:9:1.2)", [("ratio 16:9", 1.2)]),
])
def test_weights(prompt, pieces):
    found = prompt_steps.weighted(prompt)
    assert [text for text, _ in found] == [text for text, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])
    assert prompt_steps.plain(prompt) == "".join(text for text, _ in pieces)


@pytest.mark.parametrize(("prompt", "found"), [
    ("a wall, embedding:old_look", [("embedding:old_look", "old_look")]),
    ("(embedding:bad-hands.v2:1.2), embedding:x.", [("embedding:bad-hands.v2", "bad-hands.v2"), ("embedding:x", "x")]),
    ("an embedding: of", []), ("", []), ("embedding:sd15/bad_hands", [("embedding:sd15/bad_hands", "sd15/bad_hands")]),
])
def test_textual_inversions(prompt, found):
    assert prompt_choices.embeddings(prompt) == found


def test_weights_of_loras_that_are_too_large_are_named():
    assert "<lora:a:9>" in prompt_choices.notes_on("x <lora:a:9> y")[0]
    assert prompt_choices.notes_on("<lora:a:1:-7>") and not prompt_choices.notes_on("<lora:9:4> <lora:a9:-4> <lora:b>")


def test_braces_that_only_novelai_knows_are_named():
    assert "{{old}}" in prompt_choices.notes_on("{{old}} wall")[0] and len(prompt_choices.notes_on("{{old}} wall")) == 2
    assert not prompt_choices.notes_on("{a|b} {1$$c} {} <lora:a:1>")
