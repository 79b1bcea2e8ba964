"""Texture Object in the sidebar, by the starter model: the cube wears the texture, and one undo step takes it back."""
from __future__ import annotations

import sys

import pytest
from tests.support.window.harness import BlenderWindow

ENGINE_START = 180  # seconds; torch on a busy machine


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with its cube selected and the panel alone open, set to ten small views of it."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
settings = bpy.context.scene.sd
settings.prompt, settings.steps = "red brick wall", 2
settings.width, settings.height = 64, 64
settings.texture_size, settings.more_views, settings.view_words = 256, 0, False
bpy.ops.ed.undo_push(message="settings")
""")
    blender.open_tab("SD")
    blender.open_only("Texture Object")
    blender.find_text("Quick Look")
    blender.screenshot("open")
    return blender


def test_it_paints_the_selected_cube(window):
    window.click_text("Texture Object", within=_button(window))
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("job = sd.jobs()[-1]\nresult = [job.state, str(job.error)]") == ["finished", "None"]
    window.wait_for(_TEXTURED, 20, "the texture in the cube's material")
    window.screenshot("textured")


def test_one_undo_step_takes_it_back(window):
    over = window.area()["regions"]["WINDOW"]
    window.key("ctrl+z", over=over)
    window.wait_for(f"not ({_TEXTURED})", 20)
    assert window.run_script("result = 'Cube' in bpy.data.objects"), "one step, not two"
    window.key("ctrl+shift+z", over=over)
    window.wait_for(_TEXTURED, 20)
    window.screenshot("again")


_TEXTURED = """any(node.type == "TEX_IMAGE" and node.image and node.image.size[0] == 256
for slot in bpy.data.objects["Cube"].material_slots for node in slot.material.node_tree.nodes)""".replace("\n", " ")


def _button(window: BlenderWindow) -> tuple[int, int, int, int]:
    """Return where the panel's buttons are: below the quick look, whose title is that of the panel too."""
    left, _, right, bottom = window.sidebar()
    return left, window.find_text("Quick Look").box[3], right, bottom
