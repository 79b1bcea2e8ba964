"""A safety filter and a studio's policy in a real window: seen before a click, heard after it, forced in the
preferences. Real engine."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

ENGINE_START = 180  # seconds; torch on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A model that paints noise, and a filter that keeps back every picture."""
    from tests.support.tiny_filters import build_classifier
    from tests.support.tiny_models import build_tiny_sd

    place = tmp_path_factory.mktemp("studio")
    build_tiny_sd(place / "models" / "Noise")
    build_classifier(place / "strict", level=-3.0)
    return place


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, place: Path) -> BlenderWindow:
    blender.run_script(f"""
import os, sys
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads, prefs.safety_filter = {sys.executable!r}, 1, {str(place / "strict")!r}
prefs.model_folders.add().path = {str(place / "models")!r}
running = bpy.context.window_manager.sd
settings.prompt = "red brick"
""")
    blender.open_tab("SD")
    blender.open_only("Stable Diffusion")
    return blender


def _policy(window: BlenderWindow, place: Path, text: str) -> None:
    (place / "policy.toml").write_text(text, encoding="utf-8")
    window.run_script(f"os.environ['SD_POLICY'] = {str(place / 'policy.toml')!r}")


def test_the_filter_is_seen_and_keeps_a_picture_back(window, place):
    window.find_text("the starter needs none", timeout=20)
    window.screenshot("starter")
    window.run_script(f"settings.model = {str(place / 'models' / 'Noise')!r}\nsettings.width = settings.height = "
                      "64\nsettings.steps = 3\n"
                      "[area.tag_redraw() for area in bpy.context.window.screen.areas]")
    window.find_text("strict")
    images = window.run_script("result = [image.name for image in bpy.data.images]")
    window.click_text("Generate")
    window.wait_for("running.error_kind == 'withheld'", ENGINE_START)
    window.find_text("withheld by the safety filter")
    window.screenshot("withheld")
    assert window.run_script("result = [image.name for image in bpy.data.images]") == images, "not even a preview"
    window.run_script("prefs.safety_filter = ''\nbpy.ops.sd.dismiss()")
    window.find_text("Safety filter: off")
    window.click_text("Generate")
    window.wait_for("sd.jobs()[-1].state == 'finished'", ENGINE_START)


def test_a_policy_is_seen_while_blender_runs_and_forbids(window, place):
    _policy(window, place, f"models = ['starter']\nnetwork = false\nfilter = {str(place / 'strict')!r}\n"
                           "contact = 'Ask Maria in room 12, or pipeline@studio.example'\n")
    window.find_text("policy applies", timeout=20)
    window.find_text("does not allow")
    jobs = window.run_script("result = len(sd.jobs())")
    window.click_text("Generate")  # greyed out: the tooltip says why
    window.screenshot("forbidden")
    assert window.run_script("result = len(sd.jobs())") == jobs
    window.run_script("bpy.ops.preferences.addon_show(module='bl_ext.user_default.blender_sd')")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.find_text("Engine Interpreter", within=screen, timeout=20)
    window.click_until("Origin and Safety", "Mark Pictures", screen)
    window.screen.move(*window.find_text("Mark Pictures", within=screen).centre)
    window.wait_for(lambda: _scrolled(window) or window.shows("Set by your studio's policy", screen, 1), 90,
                    "the section Safety")
    window.screenshot("preferences")


def _scrolled(window: BlenderWindow) -> None:
    for _ in range(4):
        window.screen.press(5)
        window.screen.release(5)


def test_a_broken_policy_is_reported(window, place):
    _policy(window, place, "networkk = false\n")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.find_text("did you mean", within=screen, timeout=30)
    window.screenshot("broken")
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")
