"""Pictures of the scene that a render handler asks for, in a real window: each is rendered once, right after the
render."""
from __future__ import annotations

import sys

from tests.support.window.harness import BlenderWindow

ENGINE_START = 180  # seconds; torch on a busy machine

_SETUP = f"""
import sys, threading
from bl_ext.user_default import blender_sd as sd
of = lambda name: sys.modules["bl_ext.user_default.blender_sd." + name]
preferences = bpy.context.preferences
prefs = preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
preferences.view.render_display_type = "NONE"
scene = bpy.context.scene
scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
scene.render.resolution_x = scene.render.resolution_y = 64
scene.render.resolution_percentage = 100
asked, renders, threads, refused, controls = [], [], [], [], []
def asks(*_):
    threads.append(threading.current_thread() is threading.main_thread())
    asked.append(sd.restyle("CAMERA", "old brick wall", strength=0.5, steps=1, seed=1))
    controls.append(of("scene.control").open_control("depth", "CAMERA", (64, 64)))
    try:
        asked[-1].result(timeout=5)
    except Exception as error:
        refused.append(str(error))
bpy.app.handlers.render_init.append(lambda *_: renders.append(scene.frame_current))
bpy.app.handlers.render_post.append(asks)
scene.frame_set(5)
"""


def test_what_a_handler_asks_for_is_rendered_once_after_the_render(blender: BlenderWindow) -> None:
    blender.run_script(_SETUP)
    blender.key("F12", over=blender.area()["regions"]["WINDOW"])
    blender.wait_for("bool(asked)", 60, "the handler's call")
    blender.wait_for("asked[0].state in ('finished', 'failed')", ENGINE_START)
    blender.screenshot("rendered")
    seen = blender.run_script("result = [asked[0].state, len(asked), renders, threads, refused, scene.frame_current]")
    assert seen[:3] == ["finished", 1, [5, 5]], "F12, and the camera's picture after it; the control is heard by nobody"
    assert seen[3] == [False] and seen[5] == 5, "Blender calls the handlers of a render on its thread"
    assert len(seen[4]) == 1 and "cannot be waited for inside a render handler" in seen[4][0]
    assert blender.run_script("result = bool(controls[0]().pixels[..., 0].any())")
    assert blender.run_script("result = list(asked[0].result()[0].size)") == [64, 64]
