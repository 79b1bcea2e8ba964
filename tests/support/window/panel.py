"""The tab in a window with a real engine and a tiny model: its fixtures, and what its jobs and editors are like."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL.Image import Image

from tests.support.calls import build_tiny_models
from tests.support.window.harness import BlenderWindow

ENGINE_START = 180  # seconds; torch on a busy machine
PROMPT = "mossy stone wall"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return build_tiny_models(sys.executable, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, model: Path) -> BlenderWindow:
    """Blender with the preferences filled in, an Image Editor beside the 3D View, and the tab open."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python = {sys.executable!r}
prefs.threads = 1
prefs.model_folders.add().path = {str(model.parent)!r}
settings.model = {str(model)!r}
settings.width = settings.height = 64
settings.steps = 6
settings.target = "NEW"
""")
    assert blender.run_script(
        "result = sd.engine_status()[0]") == "off", "enabling the add-on must not start the engine"
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    return blender


@pytest.fixture(autouse=True)
def no_job_left(window: BlenderWindow):
    """A test that fails must not leave its job to the next."""
    yield
    if window.process.poll() is None:
        window.run_script("sd.cancel_all()")
        window.wait_for("all(job.done for job in sd.jobs())", 60)


def last_job(window: BlenderWindow) -> dict:
    """The newest job."""
    return window.run_script(
        "job = sd.jobs()[-1]\nresult = {'state': job.state, 'error': str(job.error), 'steps': job.step}")


def finish(window: BlenderWindow, jobs: int) -> None:
    window.wait_for(f"len(sd.jobs()) == {jobs} and sd.jobs()[-1].done", ENGINE_START)
    assert last_job(window)["state"] == "finished", last_job(window)["error"]


def jobs_so_far(window: BlenderWindow) -> int:
    return window.run_script("result = len(sd.jobs())")


def shown_image(window: BlenderWindow) -> str:
    return window.run_script("""
space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
result = space.image.name if space.image else ""
""")


def middle(window: BlenderWindow, editor: str = "IMAGE_EDITOR") -> Image:
    """40 × 40 pixels from the middle of the editor."""
    left, top, right, bottom = window.area(editor)["regions"]["WINDOW"]
    return window.screen.grab(
        ((left + right) // 2 - 20, (top + bottom) // 2 - 20, (left + right) // 2 + 20, (top + bottom) // 2 + 20))


def start_long(window: BlenderWindow) -> int:
    """A job that no test waits out, started by a click and seen to be running; its number."""
    before = jobs_so_far(window)
    window.run_script("bpy.context.scene.sd.steps, bpy.context.scene.sd.count = 500, 20")
    window.click_text("Generate")
    window.wait_for(f"len(sd.jobs()) == {before + 1} and sd.jobs()[-1].step > 2", ENGINE_START)
    # on a busy machine steps agree late on the time left
    window.wait_for("'left' in bpy.context.window_manager.sd.progress_text", 60)
    return before + 1
