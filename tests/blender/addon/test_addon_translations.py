"""The files of translations: readable, up to date, and with every word of the panels that are seen first."""
from __future__ import annotations

import re
import sys
from pathlib import Path

import bpy
import pytest
from addon_helpers import state
from test_addon_panels import KINDS, draw, enabled, panel, wide  # noqa: F401  (fixtures)

from blender_sd.addon import _CLASSES, layout, translations
from blender_sd.addon.panels.setup import SetUp

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
import translations as finder  # noqa: E402

LANGUAGES = list(translations.LANGUAGES)
_FIRST = ("main", "settings", "sampling", "live", "queue", "history")
_VALUES = re.compile(r"\{\w*\}|%[sd%]")


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    """All that can be translated."""
    return finder.collect()


def _file(language: str) -> dict[str, str]:
    return translations.read(translations.file_of(language))


def test_the_finder_sees_each_kind_of_text(words):
    assert words["Generate"] == "panels/parts" and words["Describe the texture"] == "panels/parts"  # text=, placeholder=
    assert words["Seed"] == "properties" and words["Repeats without a seam from left to right"] == "properties"
    assert {"Smaller Picture", "Cancel Job", "Settings recalled", "Type a prompt in the SD tab first", "Active Slot"} <= set(words)
    assert not {"Euler", "", "NONE", "sd.generate"} & set(words) and not any(word.startswith(translations.PREFIX) for word in words)
    assert not [word for word in words if "\n" in word], "a docstring of several lines is a tooltip with a gap"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_obsolete_and_no_entry_is_lacking(words, language):
    """`python scripts/translations.py --update` mends it. Texts without a translation are allowed; texts without an entry are not."""
    assert list(_file(language)) == list(words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_is_like_its_text(language):
    for text, translation in _file(language).items():
        if translation:
            assert sorted(_VALUES.findall(text)) == sorted(_VALUES.findall(translation)), text
            assert translation == translation.strip() and (text[-1] == "…") == (translation[-1] == "…"), text
            assert (text[-1] == ".") == (translation[-1] in ".。"), text
            assert "\n" not in translation


def _seen_first() -> set[str]:
    """The words of the panels of `_FIRST` for each task and error, and of the set-up: what is drawn, and the names of what it is of."""
    papers = []
    for task in ("TEXT", "TEXTURE", "RENDER"):
        bpy.context.scene.sd.task = task
        papers += [draw(panel(f"SD_PT_view3d_{name}")) for name in _FIRST]
    for error in KINDS:
        state().error, state().hint, state().error_kind = "", "", error.kind
        state().error = "It broke."
        papers.append(draw(panel("SD_PT_view3d_main")))
    bpy.context.window_manager.sd_setup.missing = True
    try:
        papers += [draw(next(cls for cls in _CLASSES if issubclass(cls, SetUp)))]
    finally:
        bpy.context.window_manager.sd_setup.missing = False
    found = {panel(f"SD_PT_view3d_{name}").bl_label for name in _FIRST}
    for paper in papers:
        found |= set(paper.texts) | {word for owner, name in paper.props for word in _of_property(owner.bl_rna.properties[name])}
        found |= {getattr(bpy.ops.sd, name[3:]).get_rna_type().name for name, _ in paper.operators if name.startswith("sd.")}
    return {word.removeprefix(translations.PREFIX) for word in found}


def _of_property(prop) -> set[str]:
    return {prop.name, *(item.name for item in getattr(prop, "enum_items_static", ()))}


def test_what_is_seen_first_is_translated_in_every_language(words, enabled):  # noqa: F811
    seen = {word for word in _seen_first() if word in words}  # the others are names, or put together with a value
    assert {"Generate", "Strength", "Seed", "Describe the new look", "Set Up the Engine", "Smaller Picture", "Both"} <= seen
    for language in LANGUAGES:
        assert not [word for word in seen if not _file(language)[word]], language


def test_what_blender_is_given(monkeypatch):
    given = {}
    monkeypatch.setattr(translations, "bpy", _Blender(given))
    translations.register()
    (name, table), = given.items()
    assert name == "blender_sd" and set(table) == {"de_DE", "es", "fr_FR", "ja_JP", "zh_HANS"}
    german = table["de_DE"]
    assert german["*", "Generate"] == german["Operator", "Generate"] == "Erzeugen"
    assert german["Operator", "Stable Diffusion: Generate Image"] == "Stable Diffusion: Bild erzeugen"
    assert table["zh_HANS"]["*", "Seed"] == "种子" and all(all(one.values()) for one in table.values())
    translations.unregister()
    assert not given


class _Blender:
    """Stands in for `bpy`: its mechanism for translations, as a dictionary."""

    def __init__(self, given: dict) -> None:
        self.app = self.translations = self
        self.register, self.unregister = given.__setitem__, given.__delitem__


def test_a_file_that_is_not_po_is_named_with_its_line(tmp_path):
    file = tmp_path / "xx.po"
    for text, line in (('msgid "a"\nmsgstr b"', 2), ('msgstr "b"', 1), ("hello", 1), ('msgid "a', 1), ('msgctxt "x"\nmsgid "a"', 1)):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"xx.po, line {line} "):
            translations.read(file)


def test_reading_and_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(translations, "FOLDER", tmp_path)
    entries = {'say "hi"': 'sag "hallo"', "a\\b": "", "tab\there": "ü…"}
    finder.write("de", entries, dict.fromkeys(entries, "panels/main"))
    assert _file("de") == entries
    file = translations.file_of("de")
    file.write_text('#, fuzzy\nmsgid "guess"\nmsgstr "x"\n\nmsgid ""\n"long "\n"line"\nmsgstr ""\n"lange "\n"Zeile"\n', encoding="utf-8")
    assert _file("de") == {"guess": "", "long line": "lange Zeile"}


def test_japanese_is_cut_by_its_width():
    text = "画像はBlenderとは別のプログラムが描きます"
    assert layout._lines(text, 20, 0) == ("画像はBlenderとは別", "のプログラムが描きま", "す"), "each of them counts as two"
    assert layout._lines("four words in line", 11, 0) == ("four words", "in line")
