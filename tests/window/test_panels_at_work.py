"""More of the tab at work, with the built-in models: controls, the queue, a paint slot; and the 3D View as a control
source against its own picture."""
from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from tests.support.window.harness import BlenderWindow, WindowError

ENGINE_START = 180  # seconds; torch on a busy machine
FIELDS = 150  # pixels from there to the fields
CROSS = 86  # pixels from there to the X of a job in the queue
ICONS = 50  # pixels from the sidebar's right edge to the middle of the buttons beside a list


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender with an Image Editor beside the 3D View and the Control panel alone open."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
bpy.context.scene.sd.prompt = "old brick wall"
""")
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    blender.open_only("Control")
    blender.find_text("Add Control")
    blender.screenshot("empty")
    return blender


def _kinds(window: BlenderWindow) -> list[str]:
    return window.run_script("result = [control.kind for control in bpy.context.scene.sd.controls]")


def test_two_controls_are_added_and_set(window):
    window.click_text("Add Control")
    window.wait_for(lambda: _kinds(window) == ["depth"], 5)
    row = window.find_text("Depth").centre[1]
    window.click(window.sidebar()[2] - ICONS, row)  # the list's plus
    window.wait_for(lambda: _kinds(window) == ["depth", "depth"], 5)
    window.click(window.sidebar()[2] - FIELDS, window.find_text("Kind").centre[1])
    window.click_text("Lines", within=window.area()["box"])
    window.wait_for(lambda: _kinds(window) == ["depth", "lines"], 5)
    window.screenshot("two")


def test_the_selected_ones_picture_is_shown(window):
    window.click_text("Preview Control Image")
    window.wait_for("any(image.name.startswith('lines control') for image in bpy.data.images)", 30)
    window.screenshot("preview")
    assert window.run_script("""
space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
result = space.image.name
""").startswith("lines control")


def test_undo_takes_a_control_back(window):
    for key, times, kinds in (("ctrl+z", 3, ["depth"]), ("ctrl+shift+z", 2, ["depth", "lines"])):
        for _ in range(times):
            window.key(key, over=window.area()["regions"]["WINDOW"])
        window.wait_for(lambda: _kinds(window) == kinds, 10,  # noqa: B023
                        f"{kinds} after {times} times {key}")  # noqa: B023 (called at once)


def test_both_steer_what_is_painted(window):
    window.open_only("Stable Diffusion")
    window.click_text("Generate")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    job = window.run_script(
        "job = sd.jobs()[-1]\nresult = [job.state, str(job.error), [c.kind for c in job.results[0].request.controls]]")
    assert job == ["finished", "None", ["depth", "lines"]]
    window.screenshot("steered")


def test_the_x_in_the_queue_takes_a_waiting_job_out(window):
    window.run_script("settings.controls.clear()\nsettings.steps, settings.count = 500, 20")
    window.click_text("Latest Results")  # folded, so that the queue's rows are on the screen
    window.wait_for(lambda: not window.shows("Vary", window.sidebar(), timeout=0), 20, "the results to fold")
    left, top, right, bottom = window.find_text("Queue").box
    window.click((left + right) // 2, (top + bottom) // 2)  # opens its panel below
    for waiting in (False, True):
        window.click_text("Add to Queue" if waiting else "Generate")
        window.wait_for(f"len(sd.jobs()) == {3 if waiting else 2} and sd.jobs()[1].step > 2", ENGINE_START)
    window.find_text("1 waiting")  # beside the button
    row = window.find_text("Waiting", within=(window.sidebar()[0], bottom, window.sidebar()[2], bottom + 200)).centre[1]
    window.screenshot("queue")
    window.click(window.sidebar()[2] - CROSS, row)
    window.wait_for("sd.jobs()[2].state == 'cancelled'", 10)
    assert window.run_script("result = sd.jobs()[1].state") == "running", "the one before it goes on"
    window.run_script("sd.cancel_all()\nsettings.steps, settings.count = 4, 1")
    window.wait_for("all(job.done for job in sd.jobs())", 60)


def test_a_texture_paint_slot_is_painted_again(window):
    """In Texture Paint the slot that is chosen in its list counts, not the node that is active in the Shader Editor."""
    window.run_script("""
material = bpy.data.materials.new("two slots")
material.use_nodes = True
nodes = material.node_tree.nodes
for name in ("other", "chosen"):
    nodes.new("ShaderNodeTexImage").image = bpy.data.images.new(name, 64, 64)
cube = bpy.context.object
cube.data.materials.clear()
cube.data.materials.append(material)
bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
bpy.context.scene.tool_settings.image_paint.mode = "MATERIAL"
material.paint_active_slot = [image.name for image in material.texture_paint_images].index("chosen")
""")
    jobs = window.run_script("result = len(sd.jobs())")
    window.click_text("Texture", window.sidebar())
    window.wait_for("bpy.context.scene.sd.task == 'TEXTURE'", 5)
    window.find_text("chosen")
    window.click_text("Retexture Slot")
    window.wait_for(f"len(sd.jobs()) == {jobs + 1} and sd.jobs()[-1].done", ENGINE_START)
    window.screenshot("paint-slot")
    assert window.run_script("""
images = [node.image for node in nodes if node.type == "TEX_IMAGE"]
bpy.ops.object.mode_set(mode="OBJECT")
result = sorted(image.name for image in images if image.name in ("other", "chosen")), sd.jobs()[-1].outputs[0] in images
""") == [["other"], True]


_ENDS = """
paint = bpy.context.scene.tool_settings.image_paint
space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
node = next(n for n in material.node_tree.nodes if n.type == "TEX_IMAGE" and n.image and n.image.name != "other")
hidden = next(a.spaces.active for a in bpy.data.screens["Shading"].areas if a.type == "IMAGE_EDITOR")
result = [node.image.name, paint.canvas.name, space.image and space.image.name, hidden.image and hidden.image.name]
"""


def _ends(window: BlenderWindow) -> list:
    """Return what slot, canvas and both editors show; after an undo the material is another."""
    return window.run_script(f"material = bpy.data.materials['two slots']\n{_ENDS}")


def test_a_job_from_the_image_editors_tab_ends_in_slot_canvas_and_editors(window):
    """The preview is seen in the editor meanwhile; undo leads slot, canvas and editors back, also in another
    workspace."""
    window.run_script("""
source = sd.jobs()[-1].outputs[0]
source.name = "source"
paint = bpy.context.scene.tool_settings.image_paint
paint.mode, paint.canvas = "IMAGE", source
bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
for screen in (bpy.context.window.screen, bpy.data.screens["Shading"]):
    next(a.spaces.active for a in screen.areas if a.ui_type == "IMAGE_EDITOR").image = source
bpy.ops.ed.undo_push(message="source")
settings.prompt = "result"
""")
    left, top, _, bottom = window.area("IMAGE_EDITOR")["box"]
    window.drag((left, (top + bottom) // 2), (left - 150, (top + bottom) // 2))  # else it is too narrow for a sidebar
    window.open_tab("SD", kind="IMAGE_EDITOR", width=0)
    box = window.sidebar("IMAGE_EDITOR")
    window.open_only("Stable Diffusion", box)
    jobs = window.run_script("result = len(sd.jobs())")
    window.click_text("Retexture Slot", box)
    window.wait_for(f"len(sd.jobs()) == {jobs + 1} and sd.jobs()[-1].done", ENGINE_START)
    window.wait_for("sd.jobs()[-1].outputs[0].name == 'result'", 5)
    assert window.run_script(_ENDS) == ["result"] * 4
    window.screenshot("image-editor-result")
    for key, name in (("ctrl+z", "source"), ("ctrl+shift+z", "result")):
        window.key(key, over=window.area("VIEW_3D")["regions"]["WINDOW"])
        ends: list = []
        with suppress(WindowError):
            window.wait_for(lambda: ends.append(_ends(window)) or ends[-1] == [name] * 4,  # noqa: B023
                            10)  # noqa: B023 (called at once)
        assert ends[-1] == [name] * 4
    window.run_script("bpy.ops.object.mode_set(mode='OBJECT')\nsettings.prompt = 'old brick wall'")
    window.key("n", over=window.area("IMAGE_EDITOR")["regions"]["WINDOW"])  # its sidebar lies over the picture
    window.wait_for(lambda: not window.area("IMAGE_EDITOR")["regions"].get("UI"), 10, "the sidebar to close")


_MASKED = """
import numpy as np
picture = bpy.data.images.new("meadow", 128, 128)
picture.generated_color = (0.1, 0.6, 0.2, 1.0)
picture.pack()
cube = bpy.data.objects["Cube"]
if cube.mode != "OBJECT":
    bpy.ops.object.mode_set(mode="OBJECT")
material = bpy.data.materials.new("meadow")
material.use_nodes = True
node = material.node_tree.nodes.active = material.node_tree.nodes.new("ShaderNodeTexImage")
node.image = picture
cube.data.materials.clear()
cube.data.materials.append(material)
editor = next(a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
editor.spaces.active.image = picture
bpy.ops.ed.undo_push(message="a meadow")
masked = lambda: float(np.array(bpy.data.images["meadow"].sd_mask.pixels[:]).reshape(-1, 4)[:, 0].mean())
paint = lambda: bpy.context.scene.tool_settings.image_paint
def editors():
    return [bpy.data.objects["Cube"].mode, paint().mode, paint().canvas.name if paint().canvas else "", editor.spaces.active.image.name,
            editor.spaces.active.mode]
result = editors()
"""  # noqa: E501
_MIDDLES = """
from bpy_extras.view3d_utils import location_3d_to_region_2d
area = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
find = lambda area, kind="WINDOW": next(r for r in area.regions if r.type == kind)
at = location_3d_to_region_2d(find(area), area.spaces.active.region_3d, bpy.data.objects["Cube"].location)
flat = find(editor).view2d.view_to_region(0.5, 0.5, clip=False)
screen = lambda region, x, y: [round(region.x + x), round(bpy.context.window.height - region.y - y)]
result = [screen(find(area), *at), screen(find(editor), *flat)]
"""


def _is_tinted(window: BlenderWindow, at: list[int]) -> bool:
    """Whether the meadow, which is green, is red at that place of the screen."""
    red, green, _ = window.screen.grab((at[0], at[1], at[0] + 1, at[1] + 1)).getpixel((0, 0))
    assert max(red, green) > 40, "neither the picture nor the tint is seen"
    return red > green


def test_a_mask_is_painted_over_the_picture_in_both_editors(window):
    """Strokes are seen at once as a tint, Ctrl erases, undo takes single strokes back, and Esc gives everything
    back."""
    before = window.run_script(_MASKED)
    window.open_only("Inpaint")
    solid, flat = window.run_script(_MIDDLES)
    window.click_text("Paint Mask")
    window.wait_for("bpy.context.scene.sd_mask_painting.image is not None", 10)
    assert window.run_script("result = editors()") == ["TEXTURE_PAINT", "IMAGE", "meadow mask", "meadow mask", "PAINT"]
    window.wait_for(lambda: not _is_tinted(window, solid) and not _is_tinted(window, flat), 20,
                    "the picture in both editors")
    amounts = [0.0]
    for middle, ctrl in ((solid, False), (flat, False), (solid, True)):
        if ctrl:
            window.screen.hold("ctrl")
        window.drag((middle[0] - 20, middle[1]), (middle[0] + 20, middle[1]))
        if ctrl:
            window.screen.let_go("ctrl")
        window.wait_for(lambda: window.run_script("result = masked()") != amounts[-1], 10, "a stroke")
        amounts.append(window.run_script("result = masked()"))
        window.wait_for(lambda: _is_tinted(window, middle) != ctrl, 20,  # noqa: B023
                        "the tint of the stroke")  # noqa: B023 (called at once)
        window.screenshot(f"mask-{len(amounts)}")
    assert amounts[0] < amounts[1] < amounts[2] and amounts[3] < amounts[2]
    over = window.area()["regions"]["WINDOW"]
    window.key("ctrl+z", over=over)
    window.wait_for(f"abs(masked() - {amounts[2]}) < 1e-4", 10, "the stroke to be taken back")
    window.key("Escape", over=over)
    window.wait_for("bpy.context.scene.sd_mask_painting.image is None", 10)
    assert window.run_script("result = editors()") == before
    window.key("ctrl+z", over=over)
    window.wait_for("editors()[0] == 'TEXTURE_PAINT'", 10, "the painting to go on")
    assert abs(window.run_script("result = masked()") - amounts[2]) < 1e-4, "undo of what is no stroke keeps the mask"


def test_inpaint_ends_the_painting_and_its_result_is_seen(window):
    # undo made all references of before invalid
    window.run_script("bpy.context.scene.sd.steps, done = 2, len(sd.jobs())")
    window.click_text("old brick wall")  # the main prompt, in grey
    window.type_text("a pond")
    window.key("Return")
    window.wait_for("bpy.context.scene.sd.inpaint_prompt == 'a pond'", 10)
    window.click_text("Inpaint", nth=1)
    window.wait_for("len(sd.jobs()) > done and sd.jobs()[-1].done", ENGINE_START)
    window.wait_for("editors()[0] == 'OBJECT'", 10)
    window.screenshot("mask-inpainted")
    assert window.run_script("""
nodes = bpy.data.objects["Cube"].active_material.node_tree.nodes
job = sd.jobs()[-1]
result = [job.state, job.results[0].request.prompt, nodes.active.image == job.outputs[0], editor.spaces.active.image == job.outputs[0]]
""") == ["finished", "a pond", True, True]  # noqa: E501


def test_a_seed_walk_paints_variations_of_the_slots_image(window):
    window.run_script("settings.count, settings.steps, settings.seed_walk_prompt = 3, 4, 'red brick wall'")
    window.open_only("Seed Walk")
    jobs = window.run_script("result = len(sd.jobs())")
    window.find_text("Walk")
    window.screenshot("seed-walk")
    window.click_text("Paint Variations")
    window.wait_for(f"len(sd.jobs()) == {jobs + 1} and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("""
job = sd.jobs()[-1]
result = [job.state, len(job.outputs), [round(one.request.variation_strength, 3) for one in job.results]]
""") == ["finished", 3, [0.167, 0.333, 0.5]]
    window.screenshot("seed-walk-result")


def test_clip_skip_stands_with_the_other_settings_of_sampling(window):
    window.run_script("settings.count = 1")
    window.open_only("Settings")
    window.click_text("Sampling")
    window.find_text("Clip Skip")
    window.screenshot("sampling")



def test_a_few_step_model_is_named(window):
    window.run_script("""
import dataclasses, sys
models = sys.modules["bl_ext.user_default.blender_sd.calls.runtime"].runtime.models
models._models = [dataclasses.replace(models.find("starter"), few_steps="LCM")]
""")
    window.open_only("Settings")
    window.find_text("few-step model")
    window.screenshot("few-steps")
    window.run_script("sd.refresh_models()")


_SCENE = """
import sys
import numpy as np
viewport = sys.modules["bl_ext.user_default.blender_sd.scene.viewport"]
window = bpy.context.window
area = max((a for a in window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
region = next(r for r in area.regions if r.type == "WINDOW")
space, view = area.spaces.active, area.spaces.active.region_3d
if "Far" not in bpy.data.objects:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.7, location=(-2.5, 1.5, 1.0))
    bpy.context.object.name = "Far"
    bpy.ops.mesh.primitive_cone_add(location=(0.5, -2.6, 0.4))
    bpy.context.object.name = "Near"
space.shading.type, space.shading.light, space.shading.background_type = "SOLID", "FLAT", "VIEWPORT"
space.shading.background_color, space.shading.color_type, space.shading.single_color = (0, 0, 0), "SINGLE", (1, 1, 1)
camera = bpy.context.scene.camera
bpy.data.objects["Far"].hide_set(False)
view.view_perspective = "PERSP"
{change}
with bpy.context.temp_override(window=window):
    bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=2)
"""
_COMPARE = """
size = (region.width, region.height)
seen = viewport.viewport_source(bpy.context)().pixels[..., 0] > 127
before = [len(getattr(bpy.data, kind)) for kind in ("objects", "cameras", "scenes", "materials", "collections")], bpy.data.is_dirty
image = sd.control_image("depth", "VIEWPORT", size)
drawn = np.array(image.pixels[:]).reshape(size[1], size[0], 4)[::-1, :, 0] > 0
bpy.data.images.remove(image)
edge = np.zeros_like(seen)
for axis in (0, 1):
    for step in (-1, 1):
        edge |= np.roll(seen, step, axis) != seen
after = [len(getattr(bpy.data, kind)) for kind in ("objects", "cameras", "scenes", "materials", "collections")], bpy.data.is_dirty
result = [float(seen.mean()), int((seen != drawn)[~edge].sum()), before == after]
"""  # noqa: E501
_VIEWS = {
    "perspective": "bpy.data.objects['Far'].hide_set(True)",
    "orthographic": "view.view_perspective = 'ORTHO'",
    "camera": "view.view_perspective, view.view_camera_zoom, camera.data.shift_x = 'CAMERA', 40, "
              "0.1\nview.view_camera_offset = 0.1, -0.05",
}


@pytest.mark.parametrize("name", _VIEWS)
def test_the_view_as_control_is_what_the_view_shows(window, name):
    window.run_script(_SCENE.format(change=_VIEWS[name]))
    seen, wrong, traceless = window.run_script(_COMPARE)
    window.screenshot(f"view-{name}")
    assert 0.005 < seen < 0.9 and wrong <= 4 and traceless  # a sharp tip may fall between two samples
