"""The panel Animation at work: a click renders in the background; keyframes come as a strip, then all frames."""
from __future__ import annotations

import sys

import pytest
from tests.support.window.harness import BlenderWindow

ENGINE_START = 180  # seconds; torch on a busy machine
TABS = 40  # pixels at the right of a sidebar


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with the panel alone open, and an animation of four small frames."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
scene = bpy.context.scene
scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
scene.render.resolution_x = scene.render.resolution_y = 64
scene.render.resolution_percentage = 100
scene.frame_start, scene.frame_end = 1, 4
settings = scene.sd
settings.prompt, settings.steps, settings.restyle_sequence_key_distance = "old brick wall", 2, 2
bpy.data.objects["Cube"].driver_add("location", 0).driver.expression = "frame / 10"
""")
    blender.open_tab("SD")
    left, bottom, right, top = blender.sidebar()
    blender.open_only("Animation", (left, bottom, right - TABS, top))  # a tab of Blender's has that name too
    blender.find_text("Preview Keyframes")
    blender.screenshot("panel")
    return blender


def test_keyframes_come_as_a_strip_and_can_be_replaced(window):
    window.click_text("Preview Keyframes")
    window.wait_for("bool(sd.jobs())", 30)
    window.wait_for("sd.jobs()[0].frames > 0", 60, "a frame that is rendered in the background")
    window.wait_for("sd.jobs()[0].done", ENGINE_START)
    assert window.run_script("result = sd.jobs()[0].state") == "finished"
    window.find_text("Frame 1")
    window.screenshot("strip")
    window.click_text("Frame 1")
    window.wait_for("len(bpy.context.scene.sd.animation.keyframes) == 1", 5)
    window.screenshot("replaced")


def test_all_frames_follow_without_rendering_again(window):
    window.click_text("Restyle Animation")
    window.wait_for("len(sd.jobs()) == 2 and sd.jobs()[1].done", ENGINE_START)
    seen = window.run_script("""
job = sd.jobs()[1]
result = [job.state, [path.name for path in job.outputs], settings.animation.output != "", str(job.error)]
""")
    assert seen[0] == "finished" and seen[1] == [f"{number:06d}.png" for number in (1, 2, 3, 4)] and seen[2], seen
    window.screenshot("finished")
