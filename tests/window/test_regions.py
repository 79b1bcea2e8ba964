"""The panel of regions at work: a region is added, picked by a click in the 3D View, and its mask is shown."""
from __future__ import annotations

import pytest
from tests.support.window.harness import BlenderWindow

ICONS = 50  # pixels from the sidebar's right edge to the middle of the buttons beside a list


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with an Image Editor beside the 3D View and the panel of regions alone open."""
    blender.run_script("""
from bl_ext.user_default import blender_sd as sd
settings.task, settings.render_source = "RENDER", "CAMERA"
bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 64
""")
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    blender.open_only("Regions")
    blender.find_text("Add Region")
    blender.screenshot("empty")
    return blender


def _kept(window: BlenderWindow) -> list:
    return window.run_script(
        "result = [(r.kind, r.keep, getattr(r, r.pointer).name) for r in bpy.context.scene.sd.regions]")


def test_the_active_object_becomes_a_region(window):
    window.click_text("Add Region")
    window.wait_for(lambda: _kept(window) == [["OBJECT", True, "Cube"]], 5)
    window.find_text("Feather")
    window.screenshot("added")


def test_what_is_clicked_on_becomes_a_region(window):
    box = window.area()["regions"]["WINDOW"]
    window.run_script("""
area = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width)
area.spaces.active.region_3d.view_location = (0, 0, 0)
bpy.ops.sd.pick_region("INVOKE_DEFAULT", kind="MATERIAL")
""")
    window.click((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    window.wait_for(lambda: _kept(window)[-1:] == [["MATERIAL", True, "Material"]], 5)
    window.screenshot("picked")


def test_its_mask_is_shown(window):
    window.click_text("Preview Mask")
    window.wait_for("any(image.name.startswith('Mask of') for image in bpy.data.images)", 30)
    window.screenshot("mask")
