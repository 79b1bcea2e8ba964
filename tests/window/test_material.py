"""A material from a prompt, as a person meets it: the button, the material in the viewport, its relief, undo. The
built-in model and estimator."""
from __future__ import annotations

import sys

import pytest
from PIL import Image

from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

ENGINE_START = 180  # seconds; torch on a busy machine
WORN = """
cube = bpy.data.objects["Cube"]
material = cube.active_material
nodes = material.node_tree.nodes if material and material.node_tree else ()
result = [material.name if material else "", sum(node.type == "TEX_IMAGE" for node in nodes)]
"""


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with the cube in material preview, small settings, and the Material panel alone open."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
settings = bpy.context.scene.sd
settings.prompt, settings.width, settings.height, settings.steps, settings.seed = "red brick wall", 128, 128, 8, 3
cube = bpy.data.objects["Cube"]
bpy.context.view_layer.objects.active = cube
cube.select_set(True)
next(a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D").spaces.active.shading.type = "MATERIAL"
bpy.ops.ed.undo_push(message="ready")
""")
    blender.open_tab("SD")
    blender.open_only("Seed Walk")  # which folds those above, so that the panel is on the screen
    blender.open_only("Material")
    blender.find_text("Material from Prompt")
    return blender


def _reds(window: BlenderWindow, name: str) -> float:
    """The share of the viewport's pixels, left of the sidebar, that are clearly red."""
    left, top, right, bottom = window.area()["regions"]["WINDOW"]
    with Image.open(window.screenshot(name)) as picture:
        view = picture.convert("RGB").crop((left, top, min(right, window.sidebar()[0]), bottom))
    pixels = list(view.getdata())
    return sum(red > 1.25 * max(green, blue) and red > 60 for red, green, blue in pixels) / len(pixels)


def test_the_button_puts_a_material_onto_the_cube_and_it_is_seen(window):
    before = window.run_script(WORN)
    assert before[1] == 0 and _reds(window, "before") < 0.01
    window.find_text("Built In")
    window.click_text("Material from Prompt")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("result = str(sd.jobs()[-1].error)") == "None"
    window.wait_for(lambda: window.run_script(WORN) == ["red brick wall", 6], 30, "the material on the cube")
    window.wait_for(lambda: _reds(window, "material") > 0.01, 60, "red bricks in the viewport")
    window.find_text("Export Maps")


def test_the_panel_changes_its_relief_at_once(window):
    window.click_text("Bump", window.sidebar())
    window.wait_for("bpy.data.objects['Cube'].active_material.node_tree.nodes['SD Shader']"
                    ".inputs['Normal'].links[0].from_node.type == 'BUMP'", 10)
    assert window.run_script("result = len(sd.jobs())") == 1


def test_undo_takes_the_material_off_and_redo_brings_it_back(window):
    view = window.area()["regions"]["WINDOW"]
    for _ in range(2):  # the relief, then the material: one step each
        window.key("ctrl+z", over=view)
    window.wait_for(lambda: window.run_script(WORN)[1] == 0, 20, "the cube as it was")
    window.screenshot("undone")
    for _ in range(2):
        window.key("ctrl+shift+z", over=view)
    window.wait_for(lambda: window.run_script(WORN) == ["red brick wall", 6], 20, "the material again")
