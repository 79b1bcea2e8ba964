"""A material from a prompt, as a person meets it: the button, the material in the viewport, its relief, undo. The
built-in model and estimator."""
from __future__ import annotations

import pytest

from tests.support.window import red_cube
from tests.support.window.harness import BlenderWindow
from tests.support.window.red_cube import reds

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
    red_cube.set_up(blender, "Material")
    blender.find_text("Material from Prompt")
    return blender


def test_the_button_puts_a_material_onto_the_cube_and_it_is_seen(window):
    before = window.run_script(WORN)
    assert before[1] == 0 and reds(window, "before") < 0.01
    window.find_text("Built In")
    window.click_text("Material from Prompt")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("result = str(sd.jobs()[-1].error)") == "None"
    window.wait_for(lambda: window.run_script(WORN) == ["red brick wall", 6], 30, "the material on the cube")
    window.wait_for(lambda: reds(window, "material") > 0.01, 60, "red bricks in the viewport")
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
