"""The tab in the five languages, in a Blender that has languages: what is drawn is our translation.

out/complete/ keeps a picture of each, and what is drawn there as in English: names, and what no translation knows
yet."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blender_sd.addon.translations.files import LANGUAGES
from tests.support.window.complete import SHOTS, CompleteWindow

SUPPORT = Path(__file__).parents[1] / "support"
RECORDER = SUPPORT / "window" / "recorder.py"
WORDS = SUPPORT / "words_of_blender.txt"
START = 240  # seconds for the engine, on a busy machine
WIDTH = 280  # pixels of the sidebar
STATES = {  # name of the screenshots -> (editor, what is set)
    "setup": ("VIEW_3D", "running_setup.missing = True"),
    "text": ("VIEW_3D", "running_setup.missing, settings.task = False, 'TEXT'"),
    "texture": ("VIEW_3D", "settings.task = 'TEXTURE'"),
    "render": ("VIEW_3D", "settings.task = 'RENDER'"),
    "image": ("IMAGE_EDITOR", "settings.task = 'TEXT'"),
}
ENGLISH = "en_US"


@pytest.fixture(scope="module")
def opened(window: CompleteWindow) -> CompleteWindow:
    """The window with an engine, all panels open, and one picture made."""
    window.run_script(RECORDER.read_text(encoding="utf-8"))
    window.run_script("record()")
    window.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons[EXTENSION].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
running_setup = bpy.context.window_manager.sd_setup
settings.width = settings.height = 64
settings.steps = 2
""")
    window.open_tab("SD", width=WIDTH)
    window.wait_for("bpy.context.window_manager.sd.engine == 'ready'", START)
    window.run_script("sd.generate('red brick wall')")
    window.wait_for("sd.jobs() and sd.jobs()[-1].done", START)
    window.screen.move(20, 500)
    return window


@pytest.fixture(scope="module", params=STATES)
def state(request: pytest.FixtureRequest, opened: CompleteWindow) -> tuple[str, dict]:
    """A state of the tab, and what its panels draw in English."""
    editor, setting = STATES[request.param]
    if editor not in {area["type"] for area in opened.state()["areas"]}:
        opened.become(editor)
        opened.open_tab("SD", editor, WIDTH)
        opened.screen.move(20, 500)
    opened.run_script(setting)
    return request.param, _drawn(opened, ENGLISH)


def _drawn(window: CompleteWindow, locale: str) -> dict[str, list[str]]:
    """Draw the window in a language; what the panels drew."""
    window.run_script(f"show({locale!r})")
    window.run_script("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=2)")
    return window.run_script("result = texts")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_panels_draw_our_translations(opened, state, language):
    name, english = state
    assert english, "no panel was drawn"
    drawn = _drawn(opened, LANGUAGES[language])
    opened.screen.grab(opened.sidebar(STATES[name][0])).save(SHOTS / f"{name}-{language}.png")
    assert opened.run_script("result = bpy.app.translations.locale") == LANGUAGES[language]
    assert drawn.keys() == english.keys()
    left = opened.run_script(f"result = english_left({english!r})")
    (SHOTS / f"{name}-{language}.txt").write_text("\n".join(f"{panel}: {text}" for panel, text in left),
                                                  encoding="utf-8")
    wrong = opened.run_script(f"result = astray({english!r})")
    assert not wrong, "\n".join(f"{panel}: {text!r} should be {wanted!r}" for panel, text, wanted in wrong)


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_context_has_our_words(opened, language):
    _drawn(opened, LANGUAGES[language])
    assert opened.run_script("result = lost()") == []


def test_the_list_of_words_that_blender_means_otherwise_is_whole(opened):
    known, clashes = set(WORDS.read_text(encoding="utf-8").splitlines()), set()
    for locale in LANGUAGES.values():
        _drawn(opened, locale)
        clashes |= set(opened.run_script("result = clashes()"))
    assert clashes <= known, f"add to {WORDS.name}: {sorted(clashes - known)}"
