"""Styles: what a file may say, what is refused and how, own ones before shipped ones, and what they make of a
prompt."""
from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest

from blender_sd.core.errors import OutputUnwritable, StyleUnusable
from blender_sd.core.regions import Region
from blender_sd.core.request import Request
from blender_sd.core.style_format import MAX_BYTES, Style, make_style, read_style, written
from blender_sd.library.styles import StyleFolder

SHIPPED = Path(__file__).resolve().parents[2] / "blender_sd" / "styles"
FULL = """# loose and wet
description = "Wäsche, 水彩"
group = "Painting"
prompt = '''
{prompt}, watercolour,
rough "paper"'''
negative = "photo"
model = "owner/name"
steps = 30
guidance = 6
width = 768
height = 512
sampler = "euler"
tiling = "xy"
strength = 0.6
[loras]
"old paper" = 0.7
"""


def test_regions_of_a_style_are_written_and_read_back():
    text = ('[[regions]]\nobject = "Bottle"\nkeep = true\nfeather = 8\n\n'
            '[[regions]]\nmaterial = "Wood"\nprompt = "oak"\n')
    style = read_style(text.encode(), "Shop")
    assert style.regions == (Region("object", "Bottle", keep=True, feather=8), Region("material", "Wood", prompt="oak"))
    assert read_style(written(style).encode(), "Shop") == style


def test_a_full_file():
    style = read_style(FULL.encode(), "Nass")
    assert style.prompt == '{prompt}, watercolour, rough "paper"' and style.description == "Wäsche, 水彩"
    assert style.settings == {
        "model": "owner/name", "steps": 30, "guidance": 6.0, "width": 768, "height": 512, "sampler": "euler",
        "tiling": "xy", "strength": 0.6}
    assert style.loras == (("old paper", 0.7),) and isinstance(style.settings["guidance"], float)


@pytest.mark.parametrize("line_ends", ["\n", "\r\n"])
def test_what_is_written_is_read_back(line_ends):
    style = read_style(FULL.replace("\n", line_ends).encode("utf-8-sig"), "Nass")
    nasty = Style("x", prompt='{prompt} "\\ \x7f \U0001f9f1 \x01'.replace("\x01", "€"), description="a\\nb")
    for one in (style, nasty, Style("empty")):
        assert read_style(written(one).encode(), one.name) == one


BROKEN = {
    "unknown field": ("stepz = 3", "'stepz'", "steps"),
    "no TOML": ("steps = = 3", "line 1", "text editor"),
    "wrong type": ("steps = '20'", "steps must be a number", ""),
    "true is no number": ("steps = true", "steps must be a number", ""),
    "out of range": ("steps = 0", "Steps must be between 1 and 500", ""),
    "endless": ("guidance = inf", "finite", ""),
    "unknown sampler": ("sampler = 'magic'", "magic", "euler"),
    "prompt no text": ("prompt = 3", "'prompt' must be text", "quotes"),
    "model by path": ("model = '/etc/model'", "/etc/model", "name"),
    "model on a share": (r"model = '\\host\share'", "host", "name"),
    "model by drive": ("model = 'C:model'", "C:model", "name"),
    "model out of its folder": ("model = 'a/../../b'", "by a path", "name"),
    "region of nothing": ("[[regions]]\nprompt = 'oak'", "one thing", ""),
    "region by mask": ("[[regions]]\nmask = '/etc/passwd'", "mask", "object"),
    "region with a mistake": ("[[regions]]\nmaterail = 'Wood'", "materail", "material"),
    "regions no list": ("regions = 3", "regions", "[[regions]]"),
    "LoRA by path": ("[loras]\n'~/x' = 1.0", "~/x", "name"),
    "LoRA tag by path": (r"prompt = '<lora:\\host\x:1>'", "host", "name"),
    "LoRAs no table": ("loras = ['a']", "loras", "[loras]"),
    "LoRA without weight": ("[loras]\na = 'much'", "weight must be a number", ""),
    "long": ("prompt = '" + "x" * 9000 + "'", "8192", "Shorten"),
    "deep": ("x = " + "[" * 20000, "cannot be read", "text editor"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(name):
    text, words, hint = BROKEN[name]
    with pytest.raises(StyleUnusable, match=re.escape(words)) as caught:
        read_style(text.encode(), "Mine")
    assert hint in caught.value.hint and "Mine" in caught.value.message


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a" * (MAX_BYTES + 1), b"prompt = \"\\ud800\""],
                         ids=["no UTF-8", "huge", "half a sign"])
def test_bytes_that_are_no_style(data):
    with pytest.raises(StyleUnusable, match="Mine"):
        read_style(data, "Mine")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "..", ".hidden", "con", "LPT1.x", "x" * 61, "a\nb", "what?", "end.", "\ud800"])  # noqa: E501
def test_names_that_no_file_can_have(name):
    with pytest.raises(StyleUnusable):
        make_style(name, {})


@pytest.mark.parametrize("template, typed, words", [
    ("{prompt}, oil", "a cat", "a cat, oil"), ("oil of {prompt}, thick",
                                               " a cat ", "oil of a cat, thick"), ("oil", "a cat", "a cat, oil"),
    ("{prompt}, oil, {prompt}",
     "cat", "cat, oil, cat"), ("{prompt}, oil", "", "oil"), ("oil, {prompt}, thick", "", "oil, thick"),
    ("{prompt}", "a {b|c} {prompt}", "a {b|c} {prompt}"), ("{prompt} {red|green}", "x", "x {red|green}")])
def test_words(template, typed, words):
    assert Style("x", prompt=template).words(typed)[0] == words
    assert Style("x", prompt="x", negative=template).words("y", typed)[1] == words


def _file(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_own_ones_hide_shipped_ones_and_broken_ones_are_named(tmp_path):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    for name in ("Clay", "Ink", "Wax"):
        _file(shipped, f"{name}.toml", f"prompt = 'shipped {name}'")
    _file(own, "clay.toml", "prompt = 'my clay'")
    broken = _file(own, "Ink.toml", "colour = 'black'")
    _file(own, ".Wax.toml.1.new", "half of a fi")
    _file(own, "note.txt", "no style")
    shelf = StyleFolder(str(own), str(shipped))
    assert [(style.name, style.prompt, style.own) for style in shelf.read()] == [
        ("clay", "my clay", True), ("Ink", "shipped Ink", False), ("Wax", "shipped Wax", False)]
    assert len(shelf.problems) == 1 and shelf.problems[0].startswith("Ink.toml") and "'colour'" in shelf.problems[0]
    broken.write_text("prompt = 'now good'", encoding="utf-8")
    assert shelf.find("INK").prompt == "now good" and shelf.problems == []


def test_only_what_has_changed_is_read_again(tmp_path, monkeypatch):
    from blender_sd.library import styles as module
    file = _file(tmp_path / "own", "A.toml", "prompt = 'a'")
    _file(tmp_path / "own", "B.toml", "prompt = 'b'")
    read = []
    monkeypatch.setattr(module, "_parsed",
                        lambda file, own, real=module._parsed: read.append(os.path.basename(file)) or real(file, own))
    shelf = StyleFolder(str(tmp_path / "own"), str(tmp_path / "none"))
    shelf.read()
    file.write_text("prompt = 'longer'", encoding="utf-8")
    shelf.read()
    assert read == ["A.toml", "B.toml", "A.toml"] and shelf.known("a").prompt == "longer"


def test_names_with_accents_are_one_whichever_way_they_are_written(tmp_path):
    _file(tmp_path, unicodedata.normalize("NFD", "Gelée.toml"), "prompt = 'x'")
    shelf = StyleFolder(str(tmp_path), "")
    assert shelf.find(unicodedata.normalize("NFC", "gelée")).name == "Gelée"
    assert "Gelée" in pytest.raises(StyleUnusable, shelf.find, "Gele").value.hint


def test_saving_sharing_and_deleting(tmp_path):
    shelf = StyleFolder(str(tmp_path / "own"), str(SHIPPED))
    mine = shelf.save(make_style("Clay", {"prompt": "{prompt}, red clay"}))
    assert mine.own and shelf.find("clay").prompt.endswith("red clay") and os.listdir(tmp_path / "own") == ["Clay.toml"]
    with pytest.raises(StyleUnusable, match="already"):
        shelf.save(make_style("CLAY", {}))
    assert shelf.save(make_style("CLAY", {"prompt": "new"}), overwrite=True).prompt == "new"
    assert len(os.listdir(tmp_path / "own")) == 1
    shared = shelf.export("clay", str(tmp_path / "shared" / "Their Clay"))
    Path(shared).write_text("# by hand\n" + Path(shared).read_text(encoding="utf-8"), encoding="utf-8")
    taken = shelf.import_file(shared)
    assert taken.name == "Their Clay" and Path(taken.file).read_text(encoding="utf-8").startswith("# by hand")
    with pytest.raises(StyleUnusable):
        shelf.import_file(str(_file(tmp_path, "bad.toml", "x = 1")))
    shelf.delete("Clay")
    assert not shelf.find("Clay").own  # the shipped one is there again
    with pytest.raises(StyleUnusable, match="came with the add-on"):
        shelf.delete("Clay")
    assert sorted(os.listdir(tmp_path / "own")) == ["Their Clay.toml"]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    shelf = StyleFolder(str(tmp_path / "file" / "own"), "")
    with pytest.raises(OutputUnwritable, match="cannot be written"):
        shelf.save(make_style("x", {}))


def test_shipped_styles():
    files = sorted(SHIPPED.glob("*.toml"))
    assert len(files) > 40 and {file.stem: faults for file in files if (faults := _faults_of(file))} == {}


def _faults_of(file: Path) -> list[str]:
    """What a shipped style lacks; how it is written is what Save Style would write."""
    style = read_style(file.read_bytes(), file.stem)
    material, general = style.group == "Materials", "general models" in style.description
    faults = {"no description": not style.description, "no group": not style.group,
              "no place for the prompt": "{prompt}" not in style.prompt,
              "written otherwise than it would be saved": written(style) != file.read_text(encoding="utf-8"),
              "for general models alone, or a material": general == material,
              "a material that does not tile": material and style.settings.get("tiling") != "xy",
              "a material with a negative prompt": material and bool(style.negative)}
    return [fault for fault, there in faults.items() if there]


def test_the_materials_speak_the_starter_models_words():
    """Every word of theirs was in the captions that the model was trained on."""
    captions = (SHIPPED.parents[1] / "scripts" / "starter" / "captions.py").read_text(encoding="utf-8")
    known = set(re.findall(r"[a-z]+", captions))
    for file in SHIPPED.glob("*.toml"):
        style = read_style(file.read_bytes(), file.stem)
        if style.group == "Materials":
            assert set(re.findall(r"[a-z]+", style.prompt.replace("{prompt}", ""))) <= known, style.name


def test_a_request_carries_the_name_and_old_ones_are_still_read():
    request = Request(prompt="a cat, oil", style="Oil Paint")
    assert Request.from_json(request.to_json()) == request and request.single(0).style == "Oil Paint"
    assert Request.from_json('{"format": 1, "prompt": "x"}').style == ""
