"""The starter model's words: what the file holds, what is unknown in a prompt, and how the menu writes."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from blender_sd.core import vocabulary
from blender_sd.library.checkpoints import STARTER_FOLDER
from blender_sd.core.style_format import read_style
from blender_sd.calls.runtime import SHIPPED_STYLES as SHIPPED

from starter import captions

FILE = Path(STARTER_FOLDER) / vocabulary.FILE


@pytest.fixture(scope="module")
def known() -> vocabulary.Vocabulary:
    return vocabulary.read(FILE.read_bytes())


def test_the_file_holds_words_that_the_shipped_model_was_trained_on(known):
    tokens = json.loads(
        (Path(STARTER_FOLDER) / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert len(known.words) > 200 and not [word for word in known.words if f"{word}</w>" not in tokens]
    assert not [
        phrase for groups in known.phrases.values() for same in groups for phrase in same if known.unknown(phrase)]


def test_the_captions_of_the_next_model_can_be_written_too():
    written = vocabulary.read(json.dumps({"words": captions.vocabulary(), "phrases": captions.phrases()}).encode())
    assert not written.unknown("moss covered tiles, wet mossy bricks in the rain, two tone planks")
    assert written.write("old grey stone wall", "condition", "mossy") == "old mossy grey stone wall"
    assert written.write("rainy planks", "condition", "dusty") == "dusty planks"


@pytest.mark.parametrize(("prompt", "unknown"), [
    ("furry cobblestones", ["furry"]), ("Old RED Brick wall, seamless texture", []), ("", []),
    ("the bricks of a castle wall", []), ("(furry:1.3) stone, FURRY {red|greenish} wall", ["furry", "greenish"]),
    ("brick <lora:gothic ruins:0.8> __colours__ embedding:oldlook, 8k", []), ("hand-painted wood", ["hand"]),
    ("Mauer, été", ["mauer", "été"]),
])
def test_the_words_that_it_does_not_know(known, prompt, unknown):
    assert known.unknown(prompt) == unknown


@pytest.mark.parametrize(("prompt", "kind", "phrase", "written"), [
    ("", "material", "brick wall", "brick wall"), ("", "colour", "red", "red"), ("red", "material", "brick wall", "red brick wall"),  # noqa: E501
    ("brick wall", "colour", "red", "red brick wall"), ("old crimson bricks, 4k",
                                                        "colour", "blue", "old blue bricks, 4k"),
    ("old red brick wall, seamless texture", "material", "planks", "old red planks, seamless texture"),
    ("furry, seamless texture",
     "colour", "red", "furry red, seamless texture"), ("red marble", "wear", "old", "old red marble"),
    ("clean red marble", "wear", "old", "old red marble"), ("old <lora:x:1>", "material", "marble", "old marble <lora:x:1>"),  # noqa: E501
    ("castle wall", "size", "small", "small castle wall"),
])
def test_the_menu_writes_into_the_prompt(known, prompt, kind, phrase, written):
    assert known.write(prompt, kind, phrase) == written
    assert known.write(written, kind, phrase) == written, "once is enough"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"words": 3, "phrases": {}}', b'{"words": [], "phrases": []}'])
def test_a_broken_file_is_refused(data):
    with pytest.raises((ValueError, KeyError, TypeError)):
        vocabulary.read(data)


def test_24_styles_were_made_for_it_and_each_style_has_a_thumbnail(known):
    styles = [read_style(file.read_bytes(), file.stem) for file in SHIPPED.glob("*.toml")]
    fitting = {style.name for style in styles if not known.unknown(style.words("")[0])}
    assert len(fitting) == 24 and fitting == {
        style.name for style in styles if "starter model knows it" in style.description} | {"Starter Quick Look"}
    thumbnails = list((SHIPPED / "thumbnails").iterdir())
    assert {file.name for file in thumbnails} == {f"{style.name}.jpg" for style in styles} | {"neutral.jpg"}
    assert sum(file.stat().st_size for file in thumbnails) < 400_000
