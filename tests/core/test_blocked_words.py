"""Blocked words: whole words in any form of writing and in any alternative of a prompt, and nothing else."""
from __future__ import annotations

import pytest

from blender_sd.core import blocked_words
from blender_sd.core.errors import InvalidRequest, WordBlocked
from blender_sd.core.parts import Axis
from blender_sd.core.request import Request


@pytest.mark.parametrize(("word", "prompt"), [
    ("ass", "an ASS on a hill"), ("ass", "(ass:1.3), "
                             "wall"), ("ass", "as{s|k} him"), ("ass", "{old|{new|ass}} wall"), ("ass", "a[s]s"),
    ("café", "cafe\u0301 wall"), ("cafe\u0301", "a CAFÉ"), ("straße", "STRASSE"),
    ("wall", "ｗａｌｌ"), ("wall", "wa\u200bll"), ("wall", "old_wall"),
    ("mickey mouse", "Mickey-Mouse"), ("mickey-mouse", "mickey   mouse"), ("c3po", "C3PO."), ("o'brien", "O’Brien"),
    ("c++", "in C++ style"), ("dr. evil", "Dr Evil"), ("mickey mouse", "mickey\nmouse"),
    ("हिंदी", "यह हिंदी है"), ("裸", "裸体の人"), ("дом", "ДОМ,"),
])
def test_found(word, prompt):
    for request in (Request(prompt=prompt), Request(negative=prompt)):
        with pytest.raises(WordBlocked) as caught:
            blocked_words.check((word, "zzz"), request)
        assert "'" in caught.value.message and caught.value.kind == "blocked_word"


@pytest.mark.parametrize(("word", "prompt"), [
    ("ass", "brass, class, "
            "glass"), ("mickey mouse", "a mouse, Mickey"), ("cafe", "café"), ("dom", "kingdom"), ("a b", "{a|b}"),
    ("c++", "c"), ("हिंद", "हिंदी"), ("wall", "w4ll"),
])
def test_not_found(word, prompt):
    blocked_words.check((word,), Request(prompt=prompt))


def test_the_word_is_named_as_it_was_typed_whatever_the_list_says():
    with pytest.raises(WordBlocked, match="'red rum'"):
        blocked_words.check(("red rum",), Request(prompt="RED  RUM"))


def test_every_seed_of_a_choice_is_refused_alike():
    for seed in range(8):
        with pytest.raises(WordBlocked):
            blocked_words.check(("moss",), Request(prompt="{red|green|{blue|moss}} wall", seed=seed))


def test_more_alternatives_than_can_be_looked_at_are_looked_at_one_by_one():
    many = "{" + "|".join(f"word{number}" for number in range(5000)) + "|moss}"
    with pytest.raises(WordBlocked):
        blocked_words.check(("moss",), Request(prompt=f"{many} {many} {many} wall"))
    pairs = " ".join(["{a|b}"] * 60)
    blocked_words.check(("moss",), Request(prompt=pairs))  # 2 to the power of 60
    glued = [f"{pairs} m{{{'oss' if number else 'x'}|y}}" for number in range(2)]
    chosen = [seed for seed in range(40) if "moss" in Request(prompt=glued[1], seed=seed).single(0).prompt]
    for seed in chosen:
        with pytest.raises(WordBlocked):
            blocked_words.check(("moss",), Request(prompt=glued[1], seed=seed))
    assert chosen, "what is painted is looked at, however it is put together"


def test_each_cell_of_a_grid():
    request = Request(prompt="red wall", axes=(Axis("prompt", "red, mossy"),))
    blocked_words.check(("green",), request)
    with pytest.raises(WordBlocked):
        blocked_words.check(("mossy wall",), request)


def test_prompts_of_an_objects_parts():
    request = Request.of("texture_object", prompt="a hall", parts='[["a {plain|grim} door", [1]]]')
    with pytest.raises(WordBlocked, match="grim"):
        blocked_words.check(["grim"], request)


def test_a_list_in_a_file(tmp_path):
    file = tmp_path / "words.txt"
    assert blocked_words.read_list("") == ()
    file.write_text("\ufeff# ours\nred rum\n\n  moss  # green\n!!\n", encoding="utf-8")
    assert blocked_words.read_list(str(file)) == ("red rum", "moss")
    file.write_text("other words", encoding="utf-8")
    assert blocked_words.read_list(str(file)) == ("other words",)
    file.write_bytes(b"\xff\xfe\xff")
    for place in (file, tmp_path / "gone.txt", tmp_path):
        with pytest.raises(InvalidRequest, match="list of blocked words"):
            blocked_words.read_list(str(place))


@pytest.mark.parametrize("code", [0x00, 0x08, 0x1B, 0x7F, 0x86, 0xAD, 0x34F, 0x115F, 0x1160, 0x17B4, 0x180B, 0x200B, 0x2060, 0x206F, 0x3164,  # noqa: E501
                                  0xFE0F, 0xFEFF, 0xFFA0, 0xFFF0, 0x1D173, 0xE0001, 0xE01EF, 0xE0FFF])
def test_signs_that_take_no_room_make_no_difference(code):
    for prompt in (f"a qwerty{chr(code)}word", f"so{chr(code)}me name"):
        with pytest.raises(WordBlocked):
            blocked_words.check(("qwertyword", "some name"), Request(prompt=prompt))
    blocked_words.check(("qwertyword",), Request(prompt="a qwertyxword"))
