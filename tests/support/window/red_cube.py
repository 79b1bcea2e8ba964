"""A cube that red bricks are painted onto, and how much of the viewport shows them."""
from __future__ import annotations

import sys

from PIL import Image

from tests.support.window.harness import BlenderWindow


def set_up(window: BlenderWindow, panel: str, more: str = "") -> None:
    """Set the panel to small red bricks, select the cube in material preview, and open `panel` alone.

    Args:
        window: Blender, just started.
        panel: The panel's label; it lies below others.
        more: Python that sets more of `settings`.
    """
    window.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
settings = bpy.context.scene.sd
settings.prompt, settings.width, settings.height, settings.steps, settings.seed = "red brick wall", 128, 128, 8, 3
{more}
cube = bpy.data.objects["Cube"]
bpy.context.view_layer.objects.active = cube
cube.select_set(True)
next(a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D").spaces.active.shading.type = "MATERIAL"
bpy.ops.ed.undo_push(message="ready")
""")
    window.open_tab("SD")
    window.open_only("Seed Walk")  # which folds those above, so that the panel is on the screen
    window.open_only(panel)


def reds(window: BlenderWindow, name: str) -> float:
    """Return the share of the viewport's pixels, left of the sidebar, that are clearly red; `name` is the
    screenshot's."""
    left, top, right, bottom = window.area()["regions"]["WINDOW"]
    with Image.open(window.screenshot(name)) as picture:
        view = picture.convert("RGB").crop((left, top, min(right, window.sidebar()[0]), bottom))
    pixels = list(view.getdata())
    return sum(red > 1.25 * max(green, blue) and red > 60 for red, green, blue in pixels) / len(pixels)
