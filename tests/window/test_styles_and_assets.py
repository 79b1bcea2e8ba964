"""A style chosen from the gallery, one saved; the picture as a material asset; a list of materials. By mouse, with the
built-in model."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

ENGINE_START = 180  # seconds; torch on a busy machine
PLUS, ARROW = 71, 49  # pixels from the sidebar's right edge to the middle of the buttons beside the style


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, library: Path, tmp_path_factory) -> BlenderWindow:
    """Blender with an Image Editor beside the 3D View, one asset library, and the tab's first panel alone open."""
    blender.run_script(f"""
import os, sys
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads, prefs.styles = {sys.executable!r}, 1, {str(tmp_path_factory.mktemp("styles"))!r}
libraries = bpy.context.preferences.filepaths.asset_libraries
while len(libraries):
    libraries.remove(libraries[0])
libraries.new(name="Studio", directory={str(library)!r})
settings.width = settings.height = 128
settings.steps = 4
""")
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    blender.open_only("Stable Diffusion")
    return blender


def _everywhere(window: BlenderWindow) -> tuple[int, int, int, int]:
    return 0, 0, window.screen.width, window.screen.height


def _log_is_clean(window: BlenderWindow) -> None:
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_a_style_is_chosen_and_painted_in(window):
    count = "len(sys.modules['bl_ext.user_default.blender_sd.calls.styles'].known_styles())"
    window.wait_for(lambda: window.run_script(f"result = {count}") > 40,
                    20, "the styles to be read")
    window.click_text("No Style")
    window.find_text("Watercolour", within=_everywhere(window))
    window.screenshot("gallery")
    window.click_text("Brick Wall", within=_everywhere(window))
    window.wait_for("(bpy.context.scene.sd.style, bpy.context.scene.sd.tiling) == ('Brick Wall', 'xy')", 10)
    window.key("Escape")  # the gallery stays open
    window.click_text("Describe the texture")
    window.type_text("old red")
    window.key("Return")
    window.click_text("Generate")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    made = window.run_script(
        "job = sd.jobs()[-1]\nresult = [str(job.error), job.request.prompt, job.request.style, settings.prompt]")
    assert made == ["None", "old red brick wall, seamless texture", "Brick Wall", "old red"]
    window.find_text("Brick Wall")
    window.screenshot("chosen")
    _log_is_clean(window)


def test_another_style_is_chosen_from_the_gallery(window):
    window.click_text("Brick Wall")
    window.click_text("Cobblestone", within=_everywhere(window))
    window.wait_for("settings.style == 'Cobblestone'", 10)
    window.screenshot("another")
    window.key("Escape")


def test_a_style_is_saved_in_its_dialog(window):
    row = window.find_text("Cobblestone").centre[1]
    window.click(window.sidebar()[2] - PLUS, row)
    window.find_text("Set Sampling", within=_everywhere(window))
    window.screenshot("dialog")
    name = window.find_text("Name", within=_everywhere(window)).centre
    window.click(name[0] + 160, name[1], double=True)
    window.key("ctrl+a")
    window.type_text("My Cobbles")
    window.key("Return")
    window.screenshot("dialog-named")
    window.click_text("OK", within=_everywhere(window))
    window.wait_for("settings.style == 'My Cobbles'", 10)
    assert window.run_script("result = [s.name for s in sd.styles() if s.own]") == ["My Cobbles"]
    window.click(window.sidebar()[2] - ARROW, window.find_text("My Cobbles").centre[1])
    window.find_text("Export Style", within=_everywhere(window))
    window.screenshot("actions")
    window.key("Escape")
    window.run_script("with open(os.path.join(prefs.styles, 'Broken.toml'), 'w') as file:\n    file.write('colour = "
                      "1')\n"
                      "bpy.ops.sd.reload_styles()")
    window.find_text("Broken.toml")
    window.screenshot("broken")
    window.run_script("os.remove(os.path.join(prefs.styles, 'Broken.toml'))\nbpy.ops.sd.reload_styles()")
    window.wait_for(lambda: not window.shows("Broken.toml", timeout=0), 10, "the line about the broken style to go")
    _log_is_clean(window)


def test_presets_of_the_settings(window):
    window.wait_for(lambda: window.open_only("Settings") or window.shows("Tiling", timeout=2), 30, "the panel")
    header = window.find_text("Settings").centre[1]
    window.click(window.sidebar()[2] - 68, header)
    window.find_text("New Preset", within=_everywhere(window))
    window.screenshot("presets")
    window.key("Escape")
    _log_is_clean(window)


def test_the_picture_is_saved_as_an_asset(window, library):
    window.open_only("Material Library")
    window.find_text("Materials from List")
    window.wait_for(
        lambda: window.find_text("Materials from List").centre == window.find_text("Materials from List").centre, 10,
        "the panel to have slid open")
    window.click_text("Save as Material Asset")
    window.find_text("This file is written", within=_everywhere(window))
    window.screenshot("asset-dialog")
    assert not list(library.rglob("*")), "nothing is written before the person agrees"
    window.click_text("Save Asset", within=_everywhere(window))
    window.wait_for(lambda: list(library.rglob("*.blend")), 10, "the asset's file")
    window.screenshot("asset-saved")
    assert window.run_script(f"""
with bpy.data.libraries.load({str(next(library.rglob("*.blend")))!r}, assets_only=True) as (there, wanted):
    result = list(there.materials)
""") == [next(library.rglob("*.blend")).stem]
    _log_is_clean(window)


def test_a_list_is_made(window, library):
    window.run_script("text = bpy.data.texts.new('list.csv')\n"
                      "text.write('prompt,style,seed\\nsmall "
                      "grey,Cobblestone,1\\nmoss,,often\\nwhite,Marble,2\\n')\nsettings.style = ''")
    window.click_text("Materials from List")
    window.find_text("files are written", within=_everywhere(window))
    window.screenshot("list-dialog")
    window.click_text("Begin", within=_everywhere(window))
    window.find_text("saved", timeout=60)
    window.wait_for("all(job.done for job in sd.jobs())", 120)
    window.find_text("no seed")
    window.screenshot("list-made")
    assert len(list(library.rglob("*.blend"))) == 3
    _log_is_clean(window)


def test_the_asset_browser_shows_them(window):
    window.become("ASSETS")
    window.run_script("space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "
                      "'ASSETS')\n"
                      "space.params.asset_library_reference = 'Studio'")
    window.find_text("white", within=window.area("ASSETS")["box"], timeout=30)
    window.screenshot("asset-browser")
    _log_is_clean(window)
