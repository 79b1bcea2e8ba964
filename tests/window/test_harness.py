"""The harness itself: what it reads, clicks and types is what Blender's own state says afterwards."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.window.harness import BlenderWindow, WindowError


@pytest.fixture(scope="module")
def toy(window_python, shots, tmp_path_factory):
    folder = Path(__file__).with_name("toy")
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("toy") / "window_toy"), "zip", folder)
    with BlenderWindow(window_python, [Path(archive)], shots / "harness") as window:
        window.open_tab("SD")
        yield window


def test_clicking_a_button_runs_its_operator_once(toy):
    toy.screenshot("open")
    toy.click_text("Generate")
    toy.wait_for("bpy.context.scene.toy.clicks == 1", 5)
    assert toy.shows("1 clicks")


def test_the_sidebar_is_as_wide_as_asked_for(toy):
    left, _top, right, _bottom = toy.sidebar()
    assert abs(right - left - 420) < 40


def test_typing_fills_the_text_field(toy):
    toy.click_text("Describe the texture")
    toy.type_text("Red brick wall, 4k (old)")
    toy.screenshot("typing")
    toy.key("Return")
    toy.wait_for("bpy.context.scene.toy.prompt == 'Red brick wall, 4k (old)'", 5)
    toy.screenshot("typed")


def test_escape_ends_a_modal_operator(toy):
    toy.click_text("Wait for Escape")
    toy.wait_for("bpy.context.scene.toy.running", 5)
    toy.key("Escape", over=toy.area()["regions"]["WINDOW"])
    toy.wait_for("not bpy.context.scene.toy.running", 5)


@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 400), (400, 1), (700, 500)])
def test_the_mouse_goes_to_the_edge_of_the_screen_too(toy, place):
    toy.screen.move(*place)
    assert toy.screen.mouse() == place


def test_the_mouse_stops_at_the_edge(toy):
    toy.screen.move(-30, 200)
    assert toy.screen.mouse() == (0, 200)


def test_what_is_not_there_is_not_found(toy):
    with pytest.raises(WindowError, match="Nonsense"):
        toy.find_text("Nonsense", timeout=0)
    assert not toy.shows("99 clicks", timeout=0)


def test_a_script_that_fails_says_so(toy):
    with pytest.raises(WindowError, match="KeyError"):
        toy.run_script("bpy.data.objects['no such object']")


def test_blender_quits_cleanly(toy):
    assert toy.quit() == 0
