"""The files of translations: readable, up to date, and with every word of the panels that are seen first."""
from __future__ import annotations

import re

import bpy
import pytest

from blender_sd.addon import _CLASSES, layout, translations
from blender_sd.addon.translations import files
from blender_sd.addon.panels.installation import SetUp
from tests.support.panels import KINDS, draw, enabled, panel, wide  # noqa: F401  (fixtures)
from tests.support.addon import state

import translations as finder

LANGUAGES = list(files.LANGUAGES)
_FIRST = ("main", "settings", "sampling", "live", "queue", "history")
_VALUES = re.compile(r"\{\w*\}|%[sd%]")


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    """All that can be translated."""
    return finder.collect()


# Each language has one term for each of these; a text that holds the English word holds it.
TERMS = {
    "de": {
        "seed": "Seed", "prompt": "Prompt", "sampler": "Sampler", "guidance": "Guidance", "strength": "Stärke",
        "mask": "Maske", "history": "Verlauf", "log": "Protokoll", "job": "Auftr", "slot": "Slot", "engine": "Engine",
        "upscaler": "Upscaler"},
    "es": {
        "seed": "semilla", "prompt": "prompt", "sampler": "sampler", "guidance": "guía", "strength": "fuerza",
        "mask": "máscara", "history": "historial", "log": "registro", "job": "trabajo", "slot": "ranura",
        "engine": "motor", "upscaler": "escalador"},
    "fr": {
        "seed": "seed", "prompt": "prompt", "sampler": "sampler", "guidance": "guidance", "strength": "force",
        "mask": "masque", "history": "historique", "log": "journal", "job": "tâche", "slot": "emplacement",
        "engine": "moteur", "upscaler": "upscaler"},
    "ja": {
        "seed": "シード", "prompt": "プロンプト", "sampler": "サンプラー", "guidance": "ガイダンス", "strength": "強", "mask": "マスク",  # noqa: E501
        "history": "履歴", "log": "ログ", "job": "ジョブ", "slot": "スロット", "upscaler": "アップスケーラー"},
    "zh_hans": {
        "seed": "种子", "prompt": "提示词", "sampler": "采样器", "guidance": "引导", "strength": "强度", "mask": "遮罩",
        "history": "历史", "log": "日志", "job": "任务", "slot": "槽", "engine": "引擎", "upscaler": "放大器"},}
# signs that are typed as they are in every language
_CODE = re.compile(r"\{\w*\}|'[^']*'|<[^>]*>|\w+:\d|name, prompt, style, seed")


def _file(language: str) -> dict[str, str]:
    return files.read(files.file_of(language))


def test_the_finder_sees_each_kind_of_text(words):
    # text=, placeholder=
    assert words["Generate"] == "panels/parts" and words["Describe the texture"] == "panels/parts"
    assert words["Seed"] == "properties" and words["Repeats without a seam from left to right"] == "properties"
    assert {"Smaller Picture", "Cancel Job", "Settings recalled", "Type a prompt in the SD tab first",
            "Active Slot"} <= set(words)
    # with a list's name, a variable's, and a value's in it, which have underscores
    assert any("__name__ one line of a list" in word for word in words)
    assert {"The environment variable HF_HUB_OFFLINE forbids downloads.", "Empty Trash ({trash_bytes})"} <= set(words)
    assert not {"Euler", "", "NONE", "sd.generate"} & set(words) and not any(
        word.startswith(translations.PREFIX) for word in words)
    assert not [word for word in words if "\n" in word], "a docstring of several lines is a tooltip with a gap"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_obsolete_and_every_text_is_translated(words, language):
    """`python scripts/translations.py --update` adds what is new to the files, where it is then translated."""
    entries = _file(language)
    assert list(entries) == list(words)
    assert not [text for text, translation in entries.items() if not translation]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_is_like_its_text(language):
    for text, translation in _file(language).items():
        if translation:
            assert sorted(_VALUES.findall(text)) == sorted(_VALUES.findall(translation)), text
            assert translation == translation.strip() and (text[-1] == "…") == (translation[-1] == "…"), text
            assert (text[-1] == ".") == (translation[-1] in ".。"), text
            assert "\n" not in translation


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_one_word_for_a_term(language):
    for text, translation in _file(language).items():
        words = set(re.findall(r"[a-z]+", _CODE.sub("", text.lower())))
        for word, term in TERMS[language].items():
            assert not {word, f"{word}s"} & words or term.lower() in translation.lower(), (text, translation)


def _seen_first() -> set[str]:
    """The words of the panels of `_FIRST` for each task and error, and of the set-up: what is drawn, and the names of
    what it is of."""
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
        found |= set(paper.texts) | {
            word for owner, name in paper.props for word in _of_property(owner.bl_rna.properties[name])}
        found |= {
            getattr(bpy.ops.sd, name[3:]).get_rna_type().name for name, _ in paper.operators if name.startswith("sd.")}
    return {word.removeprefix(translations.PREFIX) for word in found}


def _of_property(prop) -> set[str]:
    return {prop.name, *(item.name for item in getattr(prop, "enum_items_static", ()))}


def test_what_is_seen_first_is_translated_in_every_language(words, enabled):  # noqa: F811
    seen = {word for word in _seen_first() if word in words}  # the others are names, or put together with a value
    assert {"Generate", "Strength", "Seed", "Describe the new look", "Set Up the Engine", "Smaller Picture",
            "Both"} <= seen
    for language in LANGUAGES:
        entries = _file(language)
        assert not [word for word in seen if not entries[word]], language


def test_what_blender_is_given(monkeypatch):
    given = {}
    monkeypatch.setattr(translations, "bpy", _Blender(given))
    translations.register()
    (name, table), = given.items()
    assert name == "blender_sd" and set(table) == {"de_DE", "es", "fr_FR", "ja_JP", "zh_HANS"}
    german = table["de_DE"]
    assert german["*", "Generate"] == german[translations.CONTEXT, "Generate"] == "Erzeugen"
    assert german[translations.CONTEXT, "Stable Diffusion: Generate Image"] == "Stable Diffusion: Bild erzeugen"
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
    for text, line in (('msgid "a"\nmsgstr b"', 2), ('msgstr "b"', 1), ("hello", 1), ('msgid "a', 1),
                       ('msgctxt "x"\nmsgid "a"', 1)):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"xx.po, line {line} "):
            files.read(file)


def test_reading_and_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    entries = {'say "hi"': 'sag "hallo"', "a\\b": "", "tab\there": "ü…"}
    finder.write("de", entries, dict.fromkeys(entries, "panels/main"))
    assert _file("de") == entries
    file = files.file_of("de")
    file.write_text('#, fuzzy\nmsgid "guess"\nmsgstr "x"\n\nmsgid ""\n"long "\n"line"\nmsgstr ""\n"lange "\n"Zeile"\n',
                    encoding="utf-8")
    assert _file("de") == {"guess": "", "long line": "lange Zeile"}


def test_japanese_is_cut_by_its_width():
    text = "画像はBlenderとは別のプログラムが描きます"
    assert layout._lines(text, 20, 0) == ("画像はBlenderとは別", "のプログラムが描きま", "す"), "each of them counts as two"  # noqa: E501
    assert layout._lines("four words in line", 11, 0) == ("four words", "in line")
