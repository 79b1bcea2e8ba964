"""A narrow sidebar, and a large interface: nothing that a panel draws is cut off but prompts and paths."""
from __future__ import annotations

import os
import sys

import pytest

from tests.support.window.harness import BlenderWindow

WIDTH = 280  # pixels of the sidebar at scale 1
ELLIPSIS = "…"  # with which Blender ends what has no room
STATES = {  # name -> (editor, what is set)
    "text": ("VIEW_3D", "settings.task = 'TEXT'"),
    "texture": ("VIEW_3D", "settings.task = 'TEXTURE'"),
    "render": ("VIEW_3D", "settings.task = 'RENDER'"),
    "set-up": ("VIEW_3D", "bpy.context.window_manager.sd_setup.missing = True"),
    "image": ("IMAGE_EDITOR", "settings.task, bpy.context.window_manager.sd_setup.missing = 'TEXT', False"),
}
PROMPT = "brick"
PREPARE = """
import sys, addon_utils
from bl_ext.user_default import blender_sd as sd
EXTENSION = "bl_ext.user_default.blender_sd"
addon_utils.disable(EXTENSION)
for cls in sys.modules[EXTENSION + ".addon"]._CLASSES:
    if issubclass(cls, bpy.types.Panel):
        cls.bl_options = getattr(cls, "bl_options", set()) - {{"DEFAULT_CLOSED"}}
addon_utils.enable(EXTENSION)
prefs = bpy.context.preferences.addons[EXTENSION].preferences
prefs.engine_python, prefs.threads, prefs.output = {python!r}, 1, {output!r}
settings = bpy.context.scene.sd  # registered again
settings.width = settings.height = 64
settings.steps = 2
settings.refine_scale = 2
settings.mask_full_res = True
bpy.ops.sd.add_control()
"""


class TallWindow(BlenderWindow):
    """A window in which the whole tab has room, and not much more."""

    size = (900, 4600)


@pytest.fixture(scope="module")
def opened(window_python, shots, extension_zip, tmp_path_factory):
    """The window with all panels open, an engine, and one picture made."""
    with TallWindow(window_python, [extension_zip], shots / "narrow") as window:
        window.draw_plainly()
        python, output = os.environ.get("SD_ENGINE_PYTHON", sys.executable), tmp_path_factory.mktemp("output")
        window.run_script(PREPARE.format(python=python, output=str(output)))
        window.open_tab("SD", width=WIDTH)
        window.wait_for("bpy.context.window_manager.sd.engine == 'ready'", 240)
        window.run_script(f"sd.generate({PROMPT!r})")
        window.wait_for("sd.jobs() and sd.jobs()[-1].done", 240)
        yield window


@pytest.mark.parametrize("scale", (1.0, 1.5))
@pytest.mark.parametrize("state", STATES)
def test_nothing_is_cut_off(opened, state, scale):
    editor, setting = STATES[state]
    opened.run_script(f"bpy.context.preferences.view.ui_scale = {scale}")
    if editor not in {area["type"] for area in opened.state()["areas"]}:
        opened.become(editor)
    opened.open_tab("SD", editor, round(WIDTH * scale))
    opened.screen.move(20, 500)
    opened.run_script(setting)
    opened.run_script("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=2)")
    left, top, right, bottom = opened.sidebar(editor)
    shown = [
        text for text, x, y, *_ in opened.run_script("result = texts()") if left <= x < right and top <= y < bottom]
    opened.screen.grab((left, top, right, bottom)).save(opened.shots / f"{state}-{scale}.png")
    assert len(shown) > 5, "the tab is empty"
    cut = [
        text for text in shown
        if ELLIPSIS in text and not (PROMPT.startswith(text.partition(ELLIPSIS)[0]) or text.startswith("/"))]
    assert not cut, cut
