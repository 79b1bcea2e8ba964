"""A whole object textured in a real window, as a person meets it: the panel, the views, the texture on the cube."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

from blender_sd.core.tasks import SIDES
from tests.support.window import red_cube
from tests.support.window.harness import BlenderWindow
from tests.support.window.red_cube import reds

pytestmark = pytest.mark.newest

ENGINE_START = 240  # seconds; torch on a busy machine
DRAWN = 120  # seconds for pictures of the views, between which the 3D View is drawn in software
WORN = """
cube = bpy.data.objects["Cube"]
nodes = cube.active_material.node_tree.nodes if cube.active_material else ()
result = [node.image.name for node in nodes if node.type == "TEX_IMAGE" and node.image]
"""
PICTURES = """
import numpy as np
result = {}
for name in strip._previews:
    pixels = np.empty(192 * 192 * 4, np.float32)
    strip._previews[name].image_pixels_float.foreach_get(pixels)
    result[name] = pixels.reshape(192, 192, 4)[::4, ::4].round(2).tolist()
"""


def pictures(window: BlenderWindow) -> dict[str, np.ndarray]:
    """Return each fourth pixel of the strip's pictures, by name: 48×48×4, 0 to 1, rows bottom-up."""
    return {name: np.array(values) for name, values in window.run_script(PICTURES).items()}


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with the cube in material preview, small views, and the panel Texture Object alone open."""
    red_cube.set_up(blender, "Texture Object", "settings.texture_size, settings.texture_object_more_views = 256, 0")
    blender.run_script("import sys\nstrip = sys.modules['bl_ext.user_default.blender_sd.addon.view_strip']")
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


def test_the_views_are_shown_and_still_chosen_by_clicks(window):
    window.run_script("""
import mathutils
wedge = bpy.data.meshes.new("wedge")  # which looks different from every side
wedge.from_pydata([(-1, -1, -1), (1, -1, -1), (0, 2, -1), (-1, -1, 1), (0.5, -1, 2), (0, 2, 0)], [],
                 [(0, 2, 1), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5)])
cube = bpy.data.objects["Cube"]
kept, cube.data = cube.data, wedge
""")
    window.click_text("Show Views", window.sidebar())
    window.wait_for("len(strip._previews) == 10", DRAWN)
    shown = pictures(window)
    assert set(shown) == set(SIDES)
    for picture in shown.values():
        covered = picture[..., 3] > 0.5
        assert 0.1 < covered.mean() < 0.9 and not covered[0].any() and not covered[:, 0].any()
        assert max(covered.any(1).sum(), covered.any(0).sum()) > 32, "the object fills the picture"
        assert 0.3 < picture[covered][:, 0].mean() < 0.9
    for one, other in itertools.combinations(SIDES, 2):
        assert np.abs(shown[one] - shown[other]).mean() > 0.01, (one, other)
    window.find_text("Bottom", window.sidebar())
    window.screenshot("views")
    window.click_text("Back Right", window.sidebar())
    window.wait_for("not bpy.context.scene.sd.texture_sides[3]", 5)
    window.click_text("Back Right", window.sidebar())
    window.wait_for("bpy.context.scene.sd.texture_sides[3]", 5)


def test_the_pictures_follow_the_selection_and_the_cameras(window):
    before = pictures(window)["front"]
    window.run_script("""
cube.data = kept
bpy.ops.mesh.primitive_uv_sphere_add(segments=16, ring_count=8, location=(0, 9, 0))
""")
    window.wait_for(lambda: np.abs(pictures(window).get("front", before) - before).mean() > 0.01, DRAWN, "the sphere")
    window.run_script("""
camera = bpy.data.objects["Camera"]
for number in range(2):
    other = camera.copy()
    other.name, other.matrix_world = f"Close {number}", mathutils.Matrix.Translation((0, 9, 4 + 4 * number))
    bpy.context.scene.collection.objects.link(other)
bpy.context.scene.sd.texture_from = "CAMERAS"
""")
    window.wait_for("set(strip._previews.keys()) == {'Camera', 'Close 0', 'Close 1'}", DRAWN)
    near, far = (pictures(window)[f"Close {number}"][..., 3].mean() for number in (0, 1))
    assert near > 2 * far > 0.05
    window.find_text("Close 1", window.sidebar())
    window.screenshot("cameras")
    window.click_text("Close 1", window.sidebar())
    window.wait_for("not bpy.data.objects['Close 1'].sd_view", 5)
