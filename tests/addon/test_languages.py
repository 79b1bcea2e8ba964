"""Texts that are put together while Blender runs are translated too, and Blender's own catalogue has no say in ours."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import bpy
import pytest

import blender_sd
from blender_sd.addon import _CLASSES, downloads, translations
from blender_sd.addon.translations import files, words
from blender_sd.addon.translations.words import Catalogue, translated
from blender_sd.core import hub
from tests import support
from tests.support.panels import KINDS, MENUS, PANELS, draw, enabled, panel, wide  # noqa: F401  (fixtures)
from tests.support.addon import cube, state

ADDON = Path(blender_sd.__file__).parent / "addon"
LAYOUT = {"label", "operator", "progress", "menu", "prop", "prop_enum", "prop_search", "popover", "row", "column"}
# What Blender's catalogue (5.2) has with another meaning than ours, in one of our languages at least; `scripts/test.py
# --complete` checks that none is missing here.
BLENDERS = (Path(support.__file__).parent / "words_of_blender.txt").read_text(encoding="utf-8").splitlines()

GERMAN = Catalogue({
    "Found: {found}.": "Gefunden: {found}.", "an Apple processor": "ein Prozessor von Apple",
    "{amount} left": "noch {amount}", "There is no style called '{name}'.": "Es gibt keinen Stil namens „{name}“.",
    "Choose one of: {names}.": "Wähle: {names}.", "Seed": "Startwert",
    "{number} of {number2}": "{number} von {number2}", "Finished": "Fertig", "of {limit} GB": "von {limit} GB",
    "{steps} steps at {size}": "bei {size}: {steps} Schritte", "Missing": ""})


@pytest.mark.parametrize("text, expected", [
    ("Seed", "Startwert"), ("Finished.", "Fertig."), ("Found: an Apple processor.",
                                                      "Gefunden: ein Prozessor von Apple."),
    ("There is no style called 'Seed'.", "Es gibt keinen Stil namens „Seed“."),  # a name
    # an error and its remedy
    ("There is no style called 'x'. Choose one of: a, b.", "Es gibt keinen Stil namens „x“. Wähle: a, b."),
    ("4/20 · 12 s left", "4/20 · noch 12 s"), ("3 of 5 · Finished", "3 von 5 · Fertig"), ("Seed: 7", "Startwert: 7"),
    ("8 steps at 64 × 64",
     "bei 64 × 64: 8 Schritte"), ("Nothing known", "Nothing known"), ("Missing", "Missing"), ("", ""),
])
def test_a_sentence_is_found_by_its_template(text, expected):
    assert GERMAN.translate(text) == expected


def test_what_is_cut_into_lines_is_translated_first(addon, enabled, wide, monkeypatch):  # noqa: F811
    monkeypatch.setattr(words, "language_shown", lambda: "de")
    bpy.context.window_manager.sd_setup.missing = True
    try:
        texts = draw(next(cls for cls in _CLASSES if cls.__name__ == "SD_PT_view3d_setup")).texts
    finally:
        bpy.context.window_manager.sd_setup.missing = False
    assert any(text.startswith("Lädt etwa ") for text in texts), texts
    assert translated("There is no model called 'x'.") == files.read(
        files.file_of("de"))["There is no model called '{wanted}'."].format(wanted="x")


def test_names_have_a_context_of_their_own(addon):
    for cls in _CLASSES:
        if issubclass(cls, (bpy.types.Panel, bpy.types.Menu)):
            assert cls.bl_translation_context == translations.CONTEXT, cls
        rna = getattr(bpy.ops.sd, cls.bl_idname[3:]).get_rna_type() if issubclass(cls,
                                                                                  bpy.types.Operator) else cls.bl_rna
        if issubclass(cls, bpy.types.Operator):
            assert rna.translation_context == translations.CONTEXT, cls
        declared = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
        for prop in rna.properties:
            if prop.identifier in declared:
                assert prop.translation_context == translations.CONTEXT, (cls, prop.identifier)


def drawn() -> list[tuple[str, ast.expr]]:
    """(place, text) of each text that the add-on's source gives to a layout or a report for Blender to look up."""
    found = []
    for file in sorted(ADDON.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            given = {word.arg: word.value for word in node.keywords}
            own = "translate" in given or "text_ctxt" in given
            texts = node.args[1:2] if ast.unparse(node.func) in ("self.report", "operator.report") else []
            if node.func.attr in LAYOUT and not own:
                texts = [given[name] for name in ("text", "heading", "placeholder") if name in given]
            found += [(f"{file.relative_to(ADDON)}:{node.lineno}", text) for text in texts]
    return found


def _by_us(text: ast.expr) -> bool:
    return any(isinstance(one, ast.Call) and getattr(one.func, "id", "") == "translated" for one in ast.walk(text))


def test_texts_that_are_put_together_are_translated():
    """Blender looks up whole texts only. Draw `text=translated(f"…")`, report `translated(str(error))`;
    `translate=False` is for names."""
    fixed = (ast.Constant, ast.IfExp)
    wrong = [
        f"{place}: {ast.unparse(text)}" for place, text in drawn() if not isinstance(text, fixed) and not _by_us(text)]
    assert not wrong, wrong


def test_a_word_that_blender_means_otherwise_is_drawn_by_us():
    """Blender's catalogue comes before ours in `text=`: draw `text=translated("Back")`."""
    wrong = [f"{place}: {one.value}" for place, text in drawn() if not _by_us(text) for one in ast.walk(text)
             if isinstance(one, ast.Constant) and one.value in BLENDERS]
    assert not wrong, wrong


def _states(addon):
    """Bring the panels into one state after the other."""
    yield "fresh"
    addon.controls.add()
    addon.mask_full_res, addon.variation_strength, addon.x_setting, addon.y_setting = True, 0.5, "steps", "seed"
    for task in ("TEXT", "TEXTURE", "RENDER"):
        addon.task = task
        for engine in ("off", "starting", "failed"):
            state().engine = engine
            yield f"{task}, {engine}"
    image = bpy.data.images.new("4711", 64, 64)
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    cube().active_material.node_tree.nodes.active = node
    addon.expand_to, addon.mask_source, addon.prompt_text = "ASPECT", "ALPHA", bpy.data.texts.new("4712")
    yield "with an image"
    for model in hub.MODELS:
        downloads.state().choice = model.id
        yield model.id
    for kind in KINDS:
        state().error, state().hint, state().error_kind = "4713", "", kind.kind
        yield str(kind)


def test_panels_draw_nothing_that_has_no_translation(addon, monkeypatch):
    """In a language whose translations stand in brackets, what is drawn outside of them has no translation, or must be
    a name."""
    known = files.read(files.file_of("de"))
    brackets = Catalogue({text: f"⟦{text}⟧" for text in known})
    monkeypatch.setattr(words, "language_shown", lambda: "de")
    monkeypatch.setattr(words, "_translated", lambda text, _language: brackets.translate(text))
    # are drawn as they stand in the files
    names = {text for style in blender_sd.styles() for text in (style.name, style.group)}
    found = {}  # text -> (panel, state)
    for name in _states(addon):
        for cls in (*PANELS, *MENUS):
            paper = draw(cls)
            if paper is not None and cls.__name__ != "SD_MT_words":  # that writes into the prompt, which is English
                found.update(dict.fromkeys(paper.texts, (cls.__name__, name)))
    assert {"⟦Engine starts with the first job⟧", "⟦The engine cannot run⟧"} <= set(found)
    left = {text: where for text, where in found.items()
            if text not in known and text not in names and re.search(r"[a-z]{2}", re.sub("⟦.*⟧", "", text))}
    assert not left
