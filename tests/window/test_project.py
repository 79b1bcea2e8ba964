"""Project onto Objects in a real window, with the built-in model: by a click from the 3D View, previewed on the object,
and then seen where it was painted."""
from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

ENGINE_START = 180  # seconds; torch on a busy machine

_SETUP = f"""
import sys
import numpy as np
from bl_ext.user_default import blender_sd as sd
of = lambda name: sys.modules["bl_ext.user_default.blender_sd." + name]
overlay = of("scene.overlay")
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 2
settings.prompt, settings.steps, settings.render_strength = "old brick wall", 2, 1.0
cube = bpy.data.objects["Cube"]
while cube.data.uv_layers:
    cube.data.uv_layers.remove(cube.data.uv_layers[0])
cube.data.update()
cube.data.materials.clear()
bpy.ops.ed.undo_push(message="a cube without UVs")
space = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width).spaces.active
space.shading.type, space.shading.light, space.shading.color_type = "SOLID", "FLAT", "TEXTURE"
space.overlay.show_overlays = space.show_gizmo = False
covered = []
real_on = overlay.show_on
overlay.show_on = lambda who, faces, *rest: (covered.append((who, len(faces))), real_on(who, faces, *rest))
"""


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    blender.run_script(_SETUP)
    blender.open_tab("SD")
    blender.wait_for("bpy.context.window_manager.sd.engine == 'ready'", ENGINE_START)
    blender.open_only("Project onto Objects")
    return blender


def _grab(window: BlenderWindow):
    """What the 3D View shows, without what lies over it at its edges."""
    left, top, right, bottom = window.area()["regions"]["WINDOW"]
    return window.screen.grab((left + 150, top + 100, window.sidebar()[0] - 10, bottom - 60))


def test_a_click_paints_what_is_seen_onto_the_object(window):
    window.screenshot("panel")
    before = np.asarray(_grab(window).resize((64, 64), 4), float)
    window.click_text("Debug Pictures")
    window.wait_for("settings.project_debug", 5)
    window.click_text("Project from Here")
    window.wait_for("(overlay.JOB, 1) in covered", ENGINE_START)
    window.screenshot("preview")
    window.wait_for("sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("""
job = sd.jobs()[-1]
node = next(node for node in cube.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
result = [job.state, str(job.error), [result.role for result in job.results], node.image.size[0],
          [layer.name for layer in cube.data.uv_layers], overlay.JOB in overlay._on]
""") == ["finished", "None", ["picture", "base colour", "coverage", "weights", "best view", "seams"], 2048, ["UVMap"],
         False]
    window.wait_for(lambda: np.abs(np.asarray(_grab(window).resize((64, 64), 4), float) - before).max() > 40, 20,
                    "the texture on the cube")
    window.screenshot("baked")
    assert _likeness(window) > 0.8


def _likeness(window: BlenderWindow) -> float:
    """How well the cube on the screen agrees with what was painted: the correlation of their brightness, at the place
    where they agree best within a few pixels."""
    path = window.run_script("result = sd.jobs()[-1].results[0].path")
    painted = np.asarray(Image.open(path).convert("L"), float)
    left, top, right, bottom = window.area()["regions"]["WINDOW"]
    shown = np.asarray(window.screen.grab((left, top, right, bottom)).convert("L"), float)
    if shown.shape != painted.shape:
        painted = np.asarray(Image.fromarray(painted.astype(np.uint8)).resize(shown.shape[::-1]), float)
    height, width = shown.shape
    middle = (slice(height // 2 - 60, height // 2 + 60), slice(width // 2 - 60, width // 2 + 60))
    return max(float(np.corrcoef(np.roll(painted, (down, across), (0, 1))[middle].ravel(), shown[middle].ravel())[0, 1])
               for down in range(-3, 4) for across in range(-3, 4))


def test_one_undo_takes_all_of_it_back(window):
    window.key("ctrl+z", over=window.area()["regions"]["WINDOW"])
    window.wait_for("not bpy.data.objects['Cube'].data.uv_layers", 10)
    assert window.run_script("result = len(bpy.data.objects['Cube'].material_slots)") == 0
