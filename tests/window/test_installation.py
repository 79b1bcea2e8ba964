"""The first five minutes: no engine, the panel Set Up, a click, a bar, Generate, a picture. Tiny wheels from an index
on this machine."""
from __future__ import annotations

import importlib.metadata
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.fake_index import ENGINE, FakeIndex, lock_of, wheel
from tests.support.window.harness import BlenderWindow

LIMIT = 240  # seconds; a busy machine
SIZE = 6_000_000  # bytes of the largest wheel
MODULE = "sys.modules['bl_ext.user_default.blender_sd.calls.installation']"


@pytest.fixture(scope="module")
def real(blender: BlenderWindow) -> bool:
    """Whether Blender's Python is of the version of this one, so that the engine can be led to the packages of this
    environment."""
    return blender.run_script("import sys; result = sys.version_info[1]") == sys.version_info[1]


@pytest.fixture(scope="module")
def index(real):
    """Wheels that hold nothing but a way to this environment's packages; where Blender's Python is another, modules
    without anything."""
    if real:
        # libraries look at each other's
        versions = {name: importlib.metadata.version(name).partition("+")[0] for name in ENGINE}
        files = {"real.pth": sysconfig.get_path("purelib") + "\n", "noise/a.txt": "x" * SIZE}
        made = [wheel(name, versions[name], files=files if name == "torch" else None, empty=True) for name in ENGINE]
    else:
        made = [wheel(name, size=SIZE if name == "torch" else 0) for name in ENGINE]
    server = FakeIndex(dict(made))
    yield server
    server.close()


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, index: FakeIndex, tmp_path_factory) -> BlenderWindow:
    """Blender with the add-on on, as after the zip was dragged in: no engine, no internet, the tab opened."""
    locks = tmp_path_factory.mktemp("locks")
    (locks / "pylock.cpu.toml").write_text(lock_of(index.files))
    blender.run_script(f"""
import os, sys
from pathlib import Path
from bl_ext.user_default import blender_sd as sd
os.environ.pop("SD_ENGINE_PYTHON", None)
os.environ.update({index.environment()!r})
sd.engine_known()
{MODULE}.LOCKS = Path({str(locks)!r})
""")
    blender.open_tab("SD")
    return blender


def test_the_tab_says_what_to_do_without_an_engine(window):
    window.wait_for("bpy.context.window_manager.sd_setup.missing", 20)
    window.find_text("Set Up the Engine")
    window.find_text("Downloads about")
    window.find_text("Folder for the engine")
    window.screenshot("offline")
    assert not window.shows("Generate", timeout=0)
    assert window.run_script("result = sd.engine_status()[0]") == "off", "nothing fails before the person has chosen"
    window.click_text("Set Up the Engine")  # greyed out: the tooltip says why
    assert window.run_script("result = len(sd.installations())") == 0


def test_a_python_that_is_there_is_offered_and_hidden_folders_are_shown(window, tmp_path):
    environment = tmp_path / "art" / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").write_text("never run")
    (environment / "bin" / "python").chmod(0o755)
    (environment / "bin" / "notes.txt").write_text("hidden by the filter")
    for name in ("torch", "diffusers", "transformers"):
        (environment / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    window.run_script(f"""
import os
os.environ["VIRTUAL_ENV"] = {str(environment)!r}
bpy.context.preferences.view.filebrowser_display_type = "SCREEN"  # not a window of its own
bpy.ops.wm.save_as_mainfile(filepath={str(tmp_path / "art" / "scene.blend")!r})
""")
    window.click_text("Use an Existing Python")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.screenshot("pythons")
    window.click_text("Choose a Folder or File…", screen)
    window.find_text("Use This Python", screen)
    for folder in (".venv", "bin"):
        window.click_text(folder, screen, double=True)
    window.find_text("python", screen)
    assert not window.shows("notes.txt", screen, timeout=0)
    window.screenshot("python-chosen")
    window.click_text("Cancel", screen)
    window.wait_for("all(area.type != 'FILE_BROWSER' for area in bpy.context.window_manager.windows[0].screen.areas)",
                    10)


def test_one_click_sets_it_up(window, index, real):
    window.click_text("Allow Online Access")
    window.wait_for("bpy.app.online_access", 10)
    window.run_script("bpy.context.window_manager.sd_setup.accelerator = 'cpu'")
    index.hold(next(name for name in index.files if name.startswith("torch-")), SIZE // 2)
    window.click_text("Set Up the Engine")
    window.wait_for(
        "'Downloading' in bpy.context.window_manager.sd_setup.text and bpy.context.window_manager.sd_setup.progress > "
        "0.3",
        LIMIT)
    window.screenshot("bar")
    window.find_text("Downloading")
    index.go.set()
    window.wait_for("sd.installations()[-1].done", LIMIT)
    assert window.run_script("result = sd.installations()[-1].state, str(sd.installations()[-1].error)") == [
        "finished", "None"]
    assert window.run_script("result = sd.engine_place().parent.name, sd.output_folder().parent.name") == [
        "base", "base"]
    window.wait_for("not bpy.context.window_manager.sd_setup.missing", 10)
    window.find_text("Generate")
    window.screenshot("ready")
    if real:
        window.wait_for("bpy.context.window_manager.sd.engine == 'ready'", LIMIT)


def test_the_starter_model_paints_at_once(window, real):
    if not real:
        pytest.skip("this Blender's Python is another than the one that has torch")
    window.run_script("bpy.context.scene.sd.steps = 4")
    window.click_text("Describe the texture")
    window.type_text("red brick wall")
    window.key("Return")
    window.wait_for("bpy.context.scene.sd.prompt == 'red brick wall'", 5)
    window.click_text("Generate")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[0].done", LIMIT)
    assert window.run_script("result = sd.jobs()[0].state, str(sd.jobs()[0].error)") == ["finished", "None"]
    assert Path(window.run_script("result = sd.engine_environment().python(str(sd.engine_place()))")).exists()


def test_the_preferences_repair_and_remove(window, real):
    window.run_script("bpy.ops.preferences.addon_show(module='bl_ext.user_default.blender_sd')")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.find_text("The engine is set up", within=screen)
    window.find_text("Repair", within=screen)
    # where no tooltip comes up over the words
    window.screen.move(*window.find_text("Maintainer", within=screen).centre)
    window.screenshot("preferences")
    window.run_script("bpy.ops.sd.remove_engine()")
    window.wait_for("sd.installations()[-1].done", LIMIT)
    window.wait_for("bpy.context.window_manager.sd_setup.missing", 10)
    window.find_text("has not set up an engine", within=screen)
    window.screenshot("removed")
    log = window.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log or not real and "engine/env1" in log  # an engine of empty modules does not start
