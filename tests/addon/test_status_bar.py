"""Our progress stays in Blender's status bar, whatever sets the bar's text, and leaves it with the add-on."""
from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

import blender_sd
from blender_sd.addon import status_bar, tick
from tests.support.addon import state
from tests.support.paper import Paper

HEADER = bpy.types.STATUSBAR_HT_header


@pytest.fixture
def as_new(monkeypatch):
    """The status bar as Blender has it at its start, before any text was set."""
    shown = HEADER.draw
    plain = getattr(shown, "_draw_funcs", [shown])[0]
    monkeypatch.setattr(HEADER, "draw", plain)
    monkeypatch.delattr(HEADER, "_draw_orig", raising=False)
    yield plain
    if hasattr(HEADER, "_draw_orig"):
        del HEADER._draw_orig


def _drawn() -> list:
    return getattr(HEADER.draw, "_draw_funcs", [HEADER.draw])


def _text(_self, _context) -> None:
    """What the installer or a tool shows for a moment."""


def test_it_shows_the_job_with_its_cancel_button(addon):
    paper = Paper()
    status_bar._draw(SimpleNamespace(layout=paper), bpy.context)
    assert not paper.operators
    state().active, state().progress_text = True, "7/20"
    status_bar._draw(SimpleNamespace(layout=paper), bpy.context)
    assert "SD 7/20" in paper.texts and list(dict(paper.operators)) == ["sd.cancel"]


def test_an_error_is_shown_while_no_tab_is_open(addon, monkeypatch):
    state().error = "No image is open."
    for opened, wanted in ((False, ["sd.dismiss"]), (True, [])):
        monkeypatch.setattr(status_bar, "tab_is_open", lambda opened=opened: opened)
        paper = Paper()
        status_bar._draw(SimpleNamespace(layout=paper), bpy.context)
        assert list(dict(paper.operators)) == wanted and ("SD: No image is open." in paper.texts) == (not opened)


def test_the_add_on_is_installed_while_the_installer_shows_its_text(as_new, addon):
    blender_sd.unregister()
    HEADER.draw = as_new
    workspace = bpy.context.window.workspace
    workspace.status_text_set(_text)
    blender_sd.register()
    tick.tick()
    assert HEADER.draw is _text, "the text stays while it is shown"
    workspace.status_text_set(None)
    tick.tick()
    assert _drawn() == [as_new, status_bar._draw]
    for text in ("Press a key", _text, None):
        workspace.status_text_set(text)
    assert _drawn() == [as_new, status_bar._draw], "nothing more is lost"
    blender_sd.unregister()
    workspace.status_text_set(None)
    assert status_bar._draw not in _drawn()
    blender_sd.register()


def test_what_another_add_on_draws_stays(as_new, addon):
    def other(_self, _context) -> None: ...

    blender_sd.unregister()
    HEADER.draw = as_new
    workspace = bpy.context.window.workspace
    workspace.status_text_set(None)
    HEADER.append(other)
    blender_sd.register()
    workspace.status_text_set(None)
    assert _drawn() == [as_new, other, status_bar._draw]


def test_it_leaves_with_the_add_on_while_a_text_is_shown(as_new, addon):
    workspace = bpy.context.window.workspace
    workspace.status_text_set(_text)
    blender_sd.unregister()
    workspace.status_text_set(None)
    assert status_bar._draw not in _drawn()
    blender_sd.register()
