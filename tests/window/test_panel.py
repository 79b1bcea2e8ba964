"""The add-on as a person meets it: the tab, a typed prompt, Generate, the bar, the texture, Esc. A real engine with a
tiny model."""
from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub
from tests.support.window.harness import BlenderWindow
from tests.support.window.panel import (  # noqa: F401  (fixtures)
    ENGINE_START,
    PROMPT,
    finish,
    jobs_so_far,
    last_job,
    middle,
    model,
    no_job_left,
    shown_image,
    start_long,
    window,
)

ARROW = 54  # pixels from the sidebar's right edge to the arrow beside the button that shows a hidden result
GET = 48  # pixels from the sidebar's right edge to the middle of the button that opens Get Models


def test_the_engine_starts_when_the_tab_is_seen(window):
    window.wait_for("bpy.context.window_manager.sd.engine == 'ready'", ENGINE_START)
    window.screenshot("tab")
    assert window.shows("Ready (processor)")


def test_a_typed_prompt_becomes_a_picture(window):
    window.click_text("Describe the texture")
    window.type_text(PROMPT)
    window.key("Return")
    window.wait_for(f"bpy.context.scene.sd.prompt == {PROMPT!r}", 5)
    window.click_text("Generate")
    finish(window, 1)
    name = window.run_script("result = sd.jobs()[-1].outputs[0].name")
    assert name.startswith(PROMPT) and window.state()["images"][name] == [64, 64]
    window.wait_for(lambda: shown_image(window) == name, 5, "the picture in the Image Editor")
    window.screenshot("texture")


def test_the_picture_is_seen(window):
    """Noise of many colours stands where the Image Editor was grey."""
    assert len(middle(window).getcolors(maxcolors=40 * 40)) > 20


@pytest.mark.parametrize("editor", ["VIEW_3D", "IMAGE_EDITOR"])
def test_escape_cancels(window, editor):
    images = window.state()["images"]
    number = start_long(window)
    window.find_text("left")  # the bar: step, total, time left
    running = window.state()["running"]
    assert running["active"] and 0 < running["progress"] < 1 and "/500" in running["progress_text"]
    window.screenshot(f"bar-{editor}")
    width, height = window.screen.width, window.screen.height
    # the status bar says the same: "SD Image 1/20 …"
    window.find_text("Image", within=(width - 300, height - 30, width, height))
    window.key("Escape", over=window.area(editor)["regions"]["WINDOW"])
    window.wait_for(f"sd.jobs()[{number - 1}].done", 30)
    assert last_job(window)["state"] == "cancelled"
    assert window.state()["images"] == images, "neither a half-painted picture nor the preview stays"
    window.wait_for("not bpy.context.window_manager.sd.active", 5)
    window.screenshot(f"cancelled-{editor}")


def test_escape_that_stops_something_else_leaves_the_job(window):
    """Playback lets Esc through to what comes later in Blender's keymaps; tools and menus keep it."""
    number = start_long(window)
    job, view = f"sd.jobs()[{number - 1}]", window.area()["regions"]["WINDOW"]
    window.key("space", over=view)
    window.wait_for("bpy.context.screen.is_animation_playing", 10)
    window.key("Escape", over=view)
    window.wait_for("not bpy.context.screen.is_animation_playing", 10)
    window.key("g", over=view)
    window.wait_for("len(bpy.context.window.modal_operators) > 0", 10)
    window.key("Escape")
    window.wait_for("len(bpy.context.window.modal_operators) == 0", 10)
    window.key("shift+a", over=view)
    window.find_text("Empty", within=tuple(view))
    window.key("Escape")
    window.wait_for(lambda: not window.shows("Empty", within=tuple(view), timeout=0), 10, "the menu to close")
    assert window.run_script(f"result = [{job}.state, {job}.cancelling]") == ["running", False]
    window.key("Escape", over=view)
    window.wait_for(f"{job}.state == 'cancelled'", 30)


def test_the_live_preview_is_shown_and_taken_away(window):
    """It is drawn, and nothing else: saving finds no unsaved image, and the file stays saved while the job goes on."""
    window.run_script("import sys, tempfile, os\n"
                      "bpy.ops.wm.save_as_mainfile(filepath=os.path.join(tempfile.mkdtemp(dir=bpy.app.tempdir), "
                      "'f.blend'))")
    before, bare = shown_image(window), middle(window)
    number = start_long(window)
    window.wait_for("sd.jobs()[-1].preview is not None and bool(sd.jobs()[-1].preview.std() > 0.5)", 20,
                    "a preview that is not flat")
    window.wait_for(lambda: middle(window) != bare, 20, "the preview in the Image Editor")
    window.screenshot("preview")
    assert shown_image(window) == before
    assert window.run_script("""
bpy.ops.wm.save_mainfile()
result = [bpy.data.is_dirty, [image.name for image in bpy.data.images if image.is_dirty]]
""") == [False, []]
    newest = window.run_script("result = sd.jobs()[-1].preview_serial")
    window.wait_for(f"sd.jobs()[-1].preview_serial > {newest}", 20)
    assert not window.run_script("result = bpy.data.is_dirty")
    bar = window.find_text("left")
    sidebar = window.sidebar()
    window.click(sidebar[2] - 48, bar.centre[1])  # the X at the bar's right end
    window.wait_for(f"sd.jobs()[{number - 1}].done", 30)
    assert last_job(window)["state"] == "cancelled"
    window.wait_for(lambda: middle(window) == bare, 10, "the picture from before the preview")
    assert shown_image(window) == before


def test_a_material_is_chosen_as_target_and_painted(window):
    window.run_script(
        "bpy.context.scene.sd.steps, bpy.context.scene.sd.count = 4, 1\nbpy.context.object.data.materials.clear()")
    number = jobs_so_far(window)
    window.click_text("New Image")
    window.click_text("Base Color", within=window.area()["box"])
    window.wait_for("bpy.context.scene.sd.target == 'MATERIAL'", 5)
    window.click_text("Generate")
    finish(window, number + 1)
    assert window.run_script("""
nodes = bpy.context.object.active_material.node_tree.nodes
shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
result = shader.inputs["Base Color"].links[0].from_node.image == sd.jobs()[-1].outputs[0]
""")
    window.screenshot("material")


def test_solid_shading_hides_the_result_and_the_panel_shows_it(window):
    """The button's Material Preview takes software drawing too long; the entry of the menu beside it shows the same
    result."""
    window.find_text("Solid shading")
    row = window.find_text("Show in Material Preview").centre[1]
    window.screenshot("hidden")
    grey = len(middle(window, "VIEW_3D").getcolors(maxcolors=40 * 40))
    window.click(window.sidebar()[2] - ARROW, row)
    # 5.2 opens it beside the 3D View
    window.click_text("Show in Solid", within=(0, 0, window.screen.width, window.screen.height))
    window.wait_for("bpy.context.window_manager.sd.hidden_by == ''", 10)
    window.wait_for(lambda: len(middle(window, "VIEW_3D").getcolors(maxcolors=40 * 40)) > grey + 20, 20,
                    "the texture on the cube")
    window.screenshot("seen")


def test_undo_takes_the_texture_back(window):
    window.key("ctrl+z", over=window.area()["regions"]["WINDOW"])
    window.wait_for("not bpy.context.object.material_slots", 10)
    window.key("ctrl+shift+z", over=window.area()["regions"]["WINDOW"])
    window.wait_for("bool(bpy.context.object.material_slots)", 10)


@pytest.mark.parametrize("source", ["VIEWPORT", "CAMERA"])
def test_restyle(window, source):
    number = jobs_so_far(window)
    window.run_script(f"""
scene = bpy.context.scene
scene.sd.target, scene.sd.render_source, scene.sd.render_strength = "NEW", {source!r}, 0.5
scene.sd.steps, scene.sd.count = 4, 1
scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
scene.render.resolution_x = scene.render.resolution_y = 64
""")
    window.click_text("Render", window.sidebar())
    window.wait_for("bpy.context.scene.sd.task == 'RENDER'", 5)
    window.click_text("Restyle")
    finish(window, number + 1)
    size = window.run_script("result = list(sd.jobs()[-1].outputs[0].size)")
    view = window.area()["regions"]["WINDOW"]
    assert size == ([view[2] - view[0], view[3] - view[1]] if source == "VIEWPORT" else [64, 64])
    window.screenshot(f"restyled-{source}")
    window.click_text("Text", window.sidebar())
    window.wait_for("bpy.context.scene.sd.task == 'TEXT'", 5)


def test_an_error_is_shown_with_its_remedy(window):
    window.run_script("bpy.context.scene.sd.model = '/no/such/model'")
    number = jobs_so_far(window)
    window.click_text("Generate")
    window.wait_for("bpy.context.window_manager.sd.error != ''", 10)
    window.screenshot("error")
    assert jobs_so_far(window) == number
    window.find_text("There is no model called")
    view = tuple(window.area()["regions"]["WINDOW"])
    assert not window.shows("Report", within=view, timeout=0), "no popup says it again"
    left, _, right, below = window.find_text("Starter", window.sidebar()).box  # the hint, which names the models too
    window.click_text("Choose Model")  # and has the button that helps
    window.click_text("Starter", within=(left - 200, below + 2, right + 300, below + 300))
    window.wait_for("bpy.context.scene.sd.model == 'starter'", 5)
    window.wait_for("bpy.context.window_manager.sd.error == ''", 5, "the error to go with its cause")
    window.wait_for(lambda: not window.shows("There is no model called", window.sidebar(), timeout=0), 20,
                    "the error to go")


_OPEN = {"Settings": "Recall from Image", "Queue": "Finished"}
_SUB = {"Sampling": "Guidance", "Grid": "Across", "High-Res Fix": "Refine Strength"}  # of Settings
_CLOSED = {
    "Control": "keeps the result", "Reference": "IP-Adapter", "Inpaint": "Paint Mask", "Extend": "Left",
    "Enlarge": "Upscale Slot", "Live": "Strength", "History": "Favourites", "Material Library": "from List"}


def _turn(window: BlenderWindow, name: str, label: str, opened: bool) -> None:
    """Click a panel's header, and wait for what is in it to come or go."""
    window.click_text(name, window.sidebar())
    window.wait_for(lambda: window.shows(label, window.sidebar(), timeout=0) == opened, 10, f"{name} to open or close")


def test_the_closed_panels_open(window):
    _turn(window, "Latest Results", "Vary", False)
    for name, label in _SUB.items():
        _turn(window, name, label, True)
        window.screenshot(f"panel-{name.lower()}")
        _turn(window, name, label, False)
    for name, label in _OPEN.items():
        _turn(window, name, label, False)
    for name, label in _CLOSED.items():
        _turn(window, name, label, True)
        window.screenshot(f"panel-{name.lower()}")
        _turn(window, name, label, False)
    for name, label in (*reversed(_OPEN.items()), ("Latest Results", "Vary")):
        _turn(window, name, label, True)


@pytest.fixture
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


def test_a_model_is_looked_up_accepted_and_downloaded(window, hub, model):
    weights = "unet/diffusion_pytorch_model.safetensors"
    hub.add("owner/tiny",
            {file.relative_to(model).as_posix(): file.read_bytes() for file in model.rglob("*") if file.is_file()},
            card={"license": "openrail++"})
    hub.hold(weights, 1 << 17)
    chosen = window.run_script(f"""
import os
os.environ.update({hub.environment()!r})
bpy.context.window_manager.sd_hub.choice = "OTHER"
bpy.context.window_manager.sd_hub.repo = "owner/tiny"
result = bpy.context.scene.sd.model
""")
    everywhere = (0, 0, window.screen.width, window.screen.height)
    window.click(window.sidebar()[2] - GET, window.find_text("Model").centre[1])  # the last button beside the model
    window.find_text("Allow Online Access", everywhere)
    window.screenshot("hub-offline")
    window.run_script("bpy.context.preferences.system.use_online_access = True")
    window.key("Escape")  # an open popover is drawn again only after a click in it
    window.click(window.sidebar()[2] - GET, window.find_text("Model").centre[1])
    window.click_text("Look Up", everywhere)
    window.wait_for("bpy.context.window_manager.sd_hub.unaccepted", 30)
    window.find_text("accept the licence", window.sidebar())
    window.key("Escape")
    window.click(window.sidebar()[2] - GET, window.find_text("Model").centre[1])
    window.find_text("openrail++", everywhere)
    window.screenshot("hub-licence")
    window.click_text("Accept and Download", everywhere)
    assert hub.reached.wait(60)
    window.wait_for("' of ' in bpy.context.window_manager.sd_hub.text", 30)
    window.screenshot("hub-bar")
    hub.go.set()
    window.wait_for(f"bpy.context.scene.sd.model != {chosen!r}", 60)
    assert window.run_script("result = sd.find_model(bpy.context.scene.sd.model).name") == "owner/tiny"
    window.screenshot("hub-finished")
    window.run_script(f"bpy.context.scene.sd.model = {chosen!r}\nbpy.context.preferences.system.use_online_access = "
                      "False\n"
                      "bpy.context.window_manager.sd_hub.choice = sd.hub_models()[0].id")
    window.key("Escape")


@pytest.mark.parametrize("editor", ["IMAGE_EDITOR", "ShaderNodeTree"])
def test_the_tab_in_the_other_editors(window, editor):
    """The 3D View turns into the other editor for a while."""
    window.become(editor)
    window.open_tab("SD", kind=editor, width=0)  # as wide as Blender makes it
    window.find_text("Generate", within=window.sidebar(editor))
    window.screenshot(f"tab-{editor}")
    window.become("VIEW_3D", was=editor)
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def _open_editors(window: BlenderWindow) -> list[tuple[str, bool]]:
    """The image of every open Image Editor, and whether that is in a window of its own."""
    return window.run_script("""
result = [(area.spaces.active.image.name if area.spaces.active.image else "", one.screen.is_temporary)
          for one in bpy.context.window_manager.windows for area in one.screen.areas if area.ui_type == "IMAGE_EDITOR"]
""")


def test_the_first_picture_is_on_the_selected_mesh(window):
    """As a newcomer has it: no Image Editor, Target as it is, the cube selected."""
    window.become("PROPERTIES", was="IMAGE_EDITOR")
    window.run_script("""
settings.property_unset("target")
settings.steps, settings.count = 2, 1
bpy.context.object.data.materials.clear()
bpy.context.object.data.uv_layers.remove(bpy.context.object.data.uv_layers[0])
bpy.context.scene.render.resolution_x, bpy.context.scene.render.resolution_y = 1920, 1080  # as large as a render's window becomes
for area in bpy.context.screen.areas: area.tag_redraw()
""")  # noqa: E501
    number = jobs_so_far(window)
    window.find_text("Base color of Cube", window.sidebar())
    window.click_text("Generate")
    finish(window, number + 1)
    window.find_text("is the base color of Cube", window.sidebar())
    window.find_text("Vary", window.sidebar())
    assert _open_editors(window) == []
    window.screenshot("first-picture")


@pytest.mark.parametrize("display", ["WINDOW", "AREA", "SCREEN", "NONE"])
def test_a_new_image_opens_as_a_render_does(window, display):
    window.run_script(f"""
bpy.ops.object.select_all(action="DESELECT")
bpy.context.preferences.view.render_display_type = {display!r}
""")
    number = jobs_so_far(window)
    window.click_text("Generate")
    finish(window, number + 1)
    if display == "NONE":
        window.find_text("is a new image", window.sidebar())
        assert _open_editors(window) == []
        window.click_text("Show", window.sidebar())  # asked for, it is shown all the same
    name = window.run_script("result = sd.jobs()[-1].outputs[0].name")
    window.wait_for(lambda: _open_editors(window) == [[name, display in ("WINDOW", "NONE")]], 10,
                    "the picture in an Image Editor")
    window.screenshot(f"opened-{display.lower()}")
    window.key("Escape", over=(0, 0, window.screen.width // 2, window.screen.height))
    window.wait_for(lambda: _open_editors(window) == [], 10, "what was there before")
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_an_image_editor_again(window):
    """What the tests after this one expect."""
    window.run_script("bpy.context.preferences.view.render_display_type, settings.target = 'WINDOW', 'NEW'")
    window.become("IMAGE_EDITOR", was="PROPERTIES")


def test_preferences(window):
    window.run_script("bpy.ops.preferences.addon_show(module='bl_ext.user_default.blender_sd')")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.find_text("Engine Interpreter", within=screen)
    for section, text in (("Folders", "Output Folder"), ("Origin and Safety", "Private Key"),
                          ("Previews and Keys", "Previews on the Mesh"), ("Engine", "Run Inside Blender")):
        window.click_until(section, text, screen)
        window.screenshot(f"preferences-{section.lower()}")
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_blender_quits_during_a_job_without_a_question_and_no_engine_is_left(window):
    pid = window.run_script("import sys\nsession = "
                            "sys.modules['bl_ext.user_default.blender_sd.calls.runtime'].runtime.session\n"
                            "result = session._workers[0]._pipeline.pid")
    assert Path(f"/proc/{pid}").exists()
    window.run_script("bpy.ops.wm.save_mainfile()")
    start_long(window)
    window.wait_for("sd.jobs()[-1].preview is not None", 20)
    window.screen.key("ctrl+q")  # over the sidebar; the file is saved, so Blender has nothing to ask
    assert window.process.wait(30) == 0
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
