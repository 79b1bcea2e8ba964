"""The add-on as a person meets it: the tab, a typed prompt, Generate, the bar, the texture, Esc. A real engine with a tiny model."""
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_hub import FakeHub
from harness import BlenderWindow

TINY_MODELS = Path(__file__).resolve().parents[1] / "engine" / "tiny_models.py"
ENGINE_START = 180  # seconds; torch on a busy machine
PROMPT = "mossy stone wall"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, str(TINY_MODELS), str(folder)], check=True)
    return folder / "sd"


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, model: Path) -> BlenderWindow:
    """Blender with the preferences filled in, an Image Editor beside the 3D View, and the tab open."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python = {sys.executable!r}
prefs.threads = 1
prefs.model_folders.add().path = {str(model.parent)!r}
settings = bpy.context.scene.sd
settings.model = {str(model)!r}
settings.width = settings.height = 64
settings.steps = 6
""")
    assert blender.run_script("result = sd.engine_status()[0]") == "off", "enabling the add-on must not start the engine"
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    return blender


@pytest.fixture(autouse=True)
def no_job_left(window: BlenderWindow):
    """A test that fails must not leave its job to the next."""
    yield
    if window.process.poll() is None:
        window.run_script("sd.cancel_all()")
        window.wait_for("all(job.done for job in sd.jobs())", 60)


def _job(window: BlenderWindow) -> dict:
    """The newest job."""
    return window.run_script("job = sd.jobs()[-1]\nresult = {'state': job.state, 'error': str(job.error), 'steps': job.step}")


def _finished(window: BlenderWindow, jobs: int) -> None:
    window.wait_for(f"len(sd.jobs()) == {jobs} and sd.jobs()[-1].done", ENGINE_START)
    assert _job(window)["state"] == "finished", _job(window)["error"]


def _jobs(window: BlenderWindow) -> int:
    return window.run_script("result = len(sd.jobs())")


def _shown(window: BlenderWindow) -> str:
    return window.run_script("""
space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
result = space.image.name if space.image else ""
""")


def test_the_engine_starts_when_the_tab_is_seen(window):
    window.wait_for("bpy.context.window_manager.sd.engine == 'ready'", ENGINE_START)
    window.screenshot("tab")
    assert window.shows("Ready on")


def test_a_typed_prompt_becomes_a_picture(window):
    window.click_text("Describe the texture")
    window.type_text(PROMPT)
    window.key("Return")
    window.wait_for(f"bpy.context.scene.sd.prompt == {PROMPT!r}", 5)
    window.click_text("Generate")
    _finished(window, 1)
    name = window.run_script("result = sd.jobs()[-1].outputs[0].name")
    assert name.startswith(PROMPT) and window.state()["images"][name] == [64, 64]
    window.wait_for(lambda: _shown(window) == name, 5, "the picture in the Image Editor")
    window.screenshot("texture")


def test_the_picture_is_seen(window):
    """Noise of many colours stands where the Image Editor was grey."""
    left, top, right, bottom = window.area("IMAGE_EDITOR")["regions"]["WINDOW"]
    middle = window.screen.grab(((left + right) // 2 - 20, (top + bottom) // 2 - 20, (left + right) // 2 + 20, (top + bottom) // 2 + 20))
    assert len(middle.getcolors(maxcolors=40 * 40)) > 20


def _start_long(window: BlenderWindow) -> int:
    """A job that no test waits out, started by a click and seen to be running; its number."""
    before = _jobs(window)
    window.run_script("bpy.context.scene.sd.steps, bpy.context.scene.sd.count = 500, 20")
    window.click_text("Generate")
    window.wait_for(f"len(sd.jobs()) == {before + 1} and sd.jobs()[-1].step > 2", ENGINE_START)
    return before + 1


@pytest.mark.parametrize("editor", ["VIEW_3D", "IMAGE_EDITOR"])
def test_escape_cancels(window, editor):
    images = window.state()["images"]
    number = _start_long(window)
    window.find_text("left")  # the bar: step, total, time left
    running = window.state()["running"]
    assert running["active"] and 0 < running["progress"] < 1 and "/500" in running["progress_text"]
    window.screenshot(f"bar-{editor}")
    width, height = window.screen.width, window.screen.height
    window.find_text("left", within=(width - 300, height - 30, width, height))  # the status bar says the same
    window.key("Escape", over=window.area(editor)["regions"]["WINDOW"])
    window.wait_for(f"sd.jobs()[{number - 1}].done", 30)
    assert _job(window)["state"] == "cancelled"
    assert window.state()["images"] == images, "neither a half-painted picture nor the preview stays"
    window.wait_for("not bpy.context.window_manager.sd.active", 5)
    window.screenshot(f"cancelled-{editor}")


def test_the_live_preview_is_shown_and_taken_away(window):
    before = _shown(window)
    number = _start_long(window)
    window.wait_for(lambda: _shown(window) not in ("", before), 20, "the preview in the Image Editor")
    window.wait_for("sd.jobs()[-1].preview is not None and bool(sd.jobs()[-1].preview.std() > 0.5)", 20, "a preview that is not flat")
    window.screenshot("preview")
    bar = window.find_text("left")
    sidebar = window.sidebar()
    window.click(sidebar[2] - 48, bar.centre[1])  # the X at the bar's right end
    window.wait_for(f"sd.jobs()[{number - 1}].done", 30)
    assert _job(window)["state"] == "cancelled"
    window.wait_for(lambda: _shown(window) == before, 5, "the picture from before the preview")


def test_a_material_is_chosen_as_target_and_painted(window):
    window.run_script("bpy.context.scene.sd.steps, bpy.context.scene.sd.count = 4, 1\nbpy.context.object.data.materials.clear()")
    number = _jobs(window)
    window.click_text("New Image")
    window.click_text("Base Color", within=window.area()["box"])
    window.wait_for("bpy.context.scene.sd.target == 'MATERIAL'", 5)
    window.click_text("Generate")
    _finished(window, number + 1)
    assert window.run_script("""
nodes = bpy.context.object.active_material.node_tree.nodes
shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
result = shader.inputs["Base Color"].links[0].from_node.image == sd.jobs()[-1].outputs[0]
""")
    window.screenshot("material")


def test_undo_takes_the_texture_back(window):
    window.key("ctrl+z", over=window.area()["regions"]["WINDOW"])
    window.wait_for("not bpy.context.object.material_slots", 10)
    window.key("ctrl+shift+z", over=window.area()["regions"]["WINDOW"])
    window.wait_for("bool(bpy.context.object.material_slots)", 10)


@pytest.mark.parametrize("source", ["VIEWPORT", "CAMERA"])
def test_restyle(window, source):
    number = _jobs(window)
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
    _finished(window, number + 1)
    size = window.run_script("result = list(sd.jobs()[-1].outputs[0].size)")
    view = window.area()["regions"]["WINDOW"]
    assert size == ([view[2] - view[0], view[3] - view[1]] if source == "VIEWPORT" else [64, 64])
    window.screenshot(f"restyled-{source}")
    window.click_text("Text", window.sidebar())
    window.wait_for("bpy.context.scene.sd.task == 'TEXT'", 5)


def test_an_error_is_shown_with_its_remedy(window):
    window.run_script("bpy.context.scene.sd.model = '/no/such/model'")
    number = _jobs(window)
    window.click_text("Generate")
    window.wait_for("bpy.context.window_manager.sd.error != ''", 10)
    window.screenshot("error")
    assert _jobs(window) == number
    # Blender's popup holds the keyboard until the mouse has left it: a person moves away, and so must the test
    view = tuple(window.area()["regions"]["WINDOW"])
    window.key("Escape", over=view)
    window.wait_for(lambda: not window.shows("Report", within=view, timeout=0), 10, "the popup to go")
    window.find_text("There is no model called")  # the panel keeps saying it
    left, _, right, below = window.find_text("Starter", window.sidebar()).box  # the hint, which names the models too
    window.click_text("Choose Model")  # and has the button that helps
    window.click_text("Starter", within=(left - 200, below + 2, right + 300, below + 300))
    window.wait_for("bpy.context.scene.sd.model == 'starter'", 5)
    window.run_script("bpy.ops.sd.dismiss()\nfor area in bpy.context.screen.areas: area.tag_redraw()")  # the lowest panels need the room
    window.wait_for(lambda: not window.shows("There is no model called", window.sidebar(), timeout=0), 20, "the error to go")


_OPEN = {"Settings": "Recall from Image", "Queue": "Clear Finished"}
_SUB = {"Sampling": "Guidance", "Grid": "Across", "High-Res Fix": "Refine Strength"}  # of Settings
_CLOSED = {"Control": "keeps the result", "Reference": "Adapter", "Inpaint": "Paint Mask", "Extend": "Left", "Enlarge": "Tile Size",
           "Get Models": "Read the Licence", "Live": "Start Live Mode", "History": "Favourites", "Material Library": "from List"}


def _turn(window: BlenderWindow, name: str, label: str, opened: bool) -> None:
    """Clicks a panel's header and waits for what is in it to come or go: it slides."""
    window.click_text(name, window.sidebar())
    window.wait_for(lambda: window.shows(label, window.sidebar(), timeout=0) == opened, 10, f"{name} to open or close")


def test_the_closed_panels_open(window):
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
    for name, label in reversed(_OPEN.items()):
        _turn(window, name, label, True)


@pytest.fixture
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


def test_a_model_is_looked_up_accepted_and_downloaded(window, hub, model):
    weights = "unet/diffusion_pytorch_model.safetensors"
    hub.add("owner/tiny", {file.relative_to(model).as_posix(): file.read_bytes() for file in model.rglob("*") if file.is_file()},
            card={"license": "openrail++"})
    hub.hold(weights, 1 << 17)
    chosen = window.run_script(f"""
import os
os.environ.update({hub.environment()!r})
bpy.context.window_manager.sd_hub.choice = "OTHER"
bpy.context.window_manager.sd_hub.repo = "owner/tiny"
result = bpy.context.scene.sd.model
""")
    for name, label in _OPEN.items():
        _turn(window, name, label, False)
    _turn(window, "Get Models", "Look Up", True)
    window.find_text("Allow Online Access", window.sidebar())
    window.screenshot("hub-offline")
    window.run_script("bpy.context.preferences.system.use_online_access = True")
    window.click_text("Look Up")
    window.find_text("openrail++")
    window.screenshot("hub-licence")
    window.click_text("Accept and Download")
    assert hub.reached.wait(60)
    window.wait_for("' of ' in bpy.context.window_manager.sd_hub.text", 30)
    window.screenshot("hub-bar")
    hub.go.set()
    window.wait_for(f"bpy.context.scene.sd.model != {chosen!r}", 60)
    assert window.run_script("result = sd.find_model(bpy.context.scene.sd.model).name") == "owner/tiny"
    window.screenshot("hub-finished")
    window.run_script(f"bpy.context.scene.sd.model = {chosen!r}\nbpy.context.preferences.system.use_online_access = False\n"
                      "bpy.context.window_manager.sd_hub.choice = sd.hub_models()[0].id")
    _turn(window, "Get Models", "Read the Licence", False)
    for name, label in reversed(_OPEN.items()):
        _turn(window, name, label, True)


@pytest.mark.parametrize("editor", ["IMAGE_EDITOR", "ShaderNodeTree"])
def test_the_tab_in_the_other_editors(window, editor):
    """The 3D View turns into the other editor for a while."""
    window.become(editor)
    window.open_tab("SD", kind=editor, width=0)  # as wide as Blender makes it
    window.find_text("Generate", within=window.sidebar(editor))
    window.screenshot(f"tab-{editor}")
    window.become("VIEW_3D", was=editor)
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_preferences(window):
    window.run_script("bpy.ops.preferences.addon_show(module='bl_ext.user_default.blender_sd')")
    screen = (0, 0, window.screen.width, window.screen.height)
    window.find_text("Engine Interpreter", within=screen)
    for section, text in (("Folders", "Output Folder"), ("Origin and Safety", "Private Key"), ("Previews and Keys", "Previews on the Mesh"),
                          ("Engine", "Run Inside Blender")):
        window.click_text(section, within=screen)
        window.find_text(text, within=screen)
        window.screenshot(f"preferences-{section.lower()}")
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_no_engine_is_left_when_blender_quits(window):
    pid = window.run_script("import sys\nsession = sys.modules['bl_ext.user_default.blender_sd.api']._session\n"
                            "result = session._worker._pipeline.pid")
    assert Path(f"/proc/{pid}").exists()
    assert window.quit() == 0
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
