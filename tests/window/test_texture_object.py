"""A whole object textured in a real window, as a person meets it: the panel, the views, the texture on the cube."""
from __future__ import annotations

import pytest

from tests.support.window import red_cube
from tests.support.window.harness import BlenderWindow
from tests.support.window.red_cube import reds

pytestmark = pytest.mark.newest

ENGINE_START = 240  # seconds; torch on a busy machine
WORN = """
cube = bpy.data.objects["Cube"]
nodes = cube.active_material.node_tree.nodes if cube.active_material else ()
result = [node.image.name for node in nodes if node.type == "TEX_IMAGE" and node.image]
"""


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with the cube in material preview, small views, and the panel Texture Object alone open."""
    red_cube.set_up(blender, "Texture Object", "settings.texture_size, settings.texture_object_more_views = 256, 0")
    blender.find_text("Front Right")
    blender.screenshot("panel")
    return blender


def test_sides_are_chosen_by_clicks(window):
    window.click_text("Back Right", window.sidebar())
    window.wait_for("not bpy.context.scene.sd.texture_sides[3]", 5)
    window.click_text("Back Right", window.sidebar())
    window.wait_for("bpy.context.scene.sd.texture_sides[3]", 5)


def test_the_button_textures_the_cube_and_it_is_seen(window):
    assert window.run_script(WORN) == [] and reds(window, "before") < 0.01
    window.click_text("Texture Object", window.sidebar(), nth=1)  # the first is the panel's header
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("result = str(sd.jobs()[-1].error)") == "None"
    assert window.run_script("result = sd.jobs()[-1].request.task.more_views") == 0
    window.wait_for(lambda: len(window.run_script(WORN)) == 1, 30, "the texture on the cube")
    window.wait_for(lambda: reds(window, "textured") > 0.01, 60, "red bricks in the viewport")


def test_one_undo_step_takes_it_off(window):
    window.run_script("bpy.ops.ed.undo()")
    window.wait_for(lambda: window.run_script(WORN) == [], 10, "the cube as it was")
    window.run_script("bpy.ops.ed.redo()")
    window.wait_for(lambda: len(window.run_script(WORN)) == 1, 10, "the texture again")
