"""Live mode in a real window, with the built-in model: switched on by a click, seen on the screen, kept, and gone
again; previews on the mesh; the queue's order by its buttons."""
from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.support.window.harness import BlenderWindow

ENGINE_START = 180  # seconds; torch on a busy machine
ICONS = 50  # pixels from the sidebar's right edge to the middle of the buttons beside a list

_SETUP = f"""
import hashlib, os, sys
import numpy as np
from bl_ext.user_default import blender_sd as sd
of = lambda name: sys.modules["bl_ext.user_default.blender_sd." + name]
live, tick, overlay, watching = of("addon.live"), of("addon.tick"), of("scene.overlay"), of("scene.watching")
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
how = bpy.context.scene.sd_live
settings.prompt, how.size, how.steps, how.fade, how.idle = "old brick wall", 128, 1, False, 3600
shown, looks = [], []
real_over, real_on, real_look = overlay.show_over, overlay.show_on, watching.view_pixels
overlay.show_over = lambda space, pixels, *rest, **more: (shown.append(pixels), real_over(space, pixels, *rest, **more))
overlay.show_on = lambda who, surfaces, pixels, *rest: (shown.append(pixels), real_on(who, surfaces, pixels, *rest))
watching.view_pixels = lambda *given: (looks.append(real_look(*given)), looks[-1])[1]
state = lambda: bpy.context.window_manager.sd_live
space = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width).spaces.active
def turned():
    from mathutils import Euler
    space.region_3d.view_rotation.rotate(Euler((0.1, 0.0, 0.6)))
"""


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    blender.run_script(_SETUP)
    blender.open_tab("SD")
    blender.wait_for("bpy.context.window_manager.sd.engine == 'ready'", ENGINE_START)
    blender.open_only("Live")
    return blender


def _frames(window: BlenderWindow) -> int:
    return window.run_script("result = len(shown)")


def _rests(window: BlenderWindow) -> None:
    window.wait_for("state().state == 'up_to_date'", ENGINE_START)


def _on_screen(window: BlenderWindow, box=None) -> np.ndarray:
    """What the 3D View shows, without what lies over it at its edges, shrunk to 16 × 16 colours."""
    left, top, right, bottom = box or window.area()["regions"]["WINDOW"]
    free = (left + 200, top + 150, window.sidebar()[0] - 40, bottom - 60)
    picture = window.screen.grab(free).resize((16, 16), 4)  # 4: box filter
    return np.asarray(picture, float), [(free[0] - left) / (right - left), (free[1] - top) / (bottom - top),
                                        (free[2] - left) / (right - left), (free[3] - top) / (bottom - top)]


def _looks_like(window: BlenderWindow, limit: float = 8.0) -> bool:
    """Whether the screen shows the newest picture, colour by colour."""
    from PIL import Image

    seen, part = _on_screen(window)
    pixels = np.asarray(window.run_script("result = shown[-1][..., :3].tolist()"), np.uint8)
    height, width = pixels.shape[:2]
    whole = Image.fromarray(pixels).resize((width * 8, height * 8), Image.Resampling.BILINEAR)
    box = tuple(round(share * side * 8) for share, side in zip(part, (width, height) * 2, strict=True))
    return float(np.abs(np.asarray(whole.crop(box).resize((16, 16), 4), float) - seen).mean()) < limit


def test_it_is_switched_on_by_a_click_and_a_still_scene_is_painted_once(window):
    window.screenshot("off")
    window.run_script("how.mix = 1.0")
    window.click_text("Start Live Mode")
    _rests(window)
    window.wait_for(lambda: _looks_like(window), 30, "the picture over the 3D View")
    window.find_text("Up to date")
    window.screenshot("on")
    assert window.run_script("""
before = len(looks)
for _ in range(20):
    tick.tick()
result = [len(shown), len(looks) - before, sd.jobs()]
""") == [1, 0, []], "a still scene is neither looked at nor repainted, and no frame is listed as a job"


def test_a_turned_view_and_a_moved_object_are_painted_again(window):
    for change in ("turned()", "bpy.data.objects['Cube'].location.x += 1.0"):
        before = _frames(window)
        window.run_script(change)
        window.wait_for(lambda: _frames(window) > before, 60, change)  # noqa: B023 (called at once)
        _rests(window)
        window.wait_for(lambda: _looks_like(window), 30, "the newest picture")
    assert window.run_script("result = not np.array_equal(looks[-1], looks[0])")
    window.screenshot("turned")


def test_what_is_drawn_over_the_view_is_not_in_the_picture_of_it(window):
    assert window.run_script("""
view = watching.find_view(live._run.space)
covered = real_look(view, (128, 96))
overlay.hide(overlay.LIVE)
result = np.array_equal(covered, real_look(view, (128, 96)))
""")


def test_mix_shows_the_scene_below(window):
    window.run_script("how.seed = 5")  # which brings a picture back
    window.wait_for("overlay._over is not None", 60)
    _rests(window)
    window.wait_for(lambda: _looks_like(window), 30)
    covered, _ = _on_screen(window)
    window.run_script("how.mix = 0.0")
    window.wait_for(lambda: np.abs(_on_screen(window)[0] - covered).mean() > 10, 30, "the scene alone")
    alone, _ = _on_screen(window)
    window.run_script("how.mix = 0.5")
    window.wait_for(lambda: np.abs(_on_screen(window)[0] - (covered + alone) / 2).mean() < 12, 30, "half of both")
    window.screenshot("mixed")


def test_keep_paints_the_same_pixels_into_the_output_folder(window):
    listing = "[name for _, _, names in os.walk(sd.output_folder()) for name in names if name.endswith('.png')]"
    assert window.run_script(f"seen = len(shown); result = {listing}") == [], "no frame was written"
    window.click_text("Keep")
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[0].done", ENGINE_START)
    assert window.run_script(f"""
job = sd.jobs()[0]
image = job.outputs[0]
kept = (np.array(image.pixels[:]).reshape(*reversed(image.size), 4)[::-1] * 255 + 0.5).astype(np.uint8)
request = sd.recall(image)
same = any(np.array_equal(kept[..., :3], frame[..., :3]) for frame in shown[seen - 1:])  # the newest then, or one that came meanwhile
result = [job.state, same, len({listing}), request.task.name, request.prompt, request.seed]
""") == ["finished", True, 2, "image_to_image", "old brick wall", 5]  # the picture and its source  # noqa: E501
    _rests(window)


def test_another_3d_view_is_left_alone_and_a_closed_one_pauses(window):
    window.become("VIEW_3D", was="PROPERTIES")
    drawn = window.run_script("""
calls = []
def count():
    calls.append(bpy.context.space_data.as_pointer() == live._run.space and overlay._over.space == live._run.space)
handler = bpy.types.SpaceView3D.draw_handler_add(count, (), "WINDOW", "POST_PIXEL")
for area in bpy.context.window.screen.areas:
    area.tag_redraw()
result = True
""")
    window.wait_for("True in calls and False in calls", 30, "both views to be drawn")
    window.screenshot("two-views")
    window.run_script("""
bpy.types.SpaceView3D.draw_handler_remove(handler, "WINDOW")
area = next(a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D" and a.spaces.active.as_pointer() != live._run.space)
area.ui_type = "PROPERTIES"
area = next(a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D")
area.ui_type = "CONSOLE"
""")  # noqa: E501
    window.wait_for("state().state == 'paused' and 'not shown' in state().text", 30)
    window.run_script("area.ui_type = 'VIEW_3D'")
    window.wait_for("'not shown' not in state().text", 30)
    assert drawn


def test_the_painted_texture_is_shown_on_the_mesh(window):
    before = _frames(window)
    window.run_script("""
cube = bpy.data.objects["Cube"]
image = bpy.data.images.new("painted", 256, 256)
colours = np.zeros((256, 256, 4), np.float32)
colours[..., 3] = 1.0
colours[:128, :, 0] = colours[128:, :, 2] = 0.8
image.pixels.foreach_set(colours.ravel())
image.update()
sd.apply(image, cube)
how.source, how.mix = "TEXTURE", 1.0
""")
    window.wait_for(f"len(shown) > {before} and overlay.LIVE in overlay._on", 60, "a picture on the mesh")
    _rests(window)
    window.screenshot("texture")
    assert window.run_script("""
source = live._run.shown.pixels
middle = source.shape[1] // 2
result = [source[4, middle, :3].tolist(), source[-4, middle, :3].tolist(), overlay._over is None]
""") == [[0, 0, 204], [204, 0, 0], True], "the texture's own colours, the right way up"
    before = _frames(window)
    window.run_script(
        "cube.location, cube.scale = (0, 0, 0), (1.5, 1.5, 1.5)\nbpy.ops.object.mode_set(mode='TEXTURE_PAINT')")
    left, top, right, bottom = window.area()["regions"]["WINDOW"]
    middle = (left + right) // 2, (top + bottom) // 2
    window.drag((middle[0] - 40, middle[1]), (middle[0] + 40, middle[1] + 10))
    window.wait_for(lambda: _frames(window) > before, 60, "what was painted to be seen")
    _rests(window)
    window.screenshot("texture-painted")
    assert window.run_script(
        "bpy.ops.object.mode_set(mode='OBJECT')\nresult = not np.array_equal(source, live._run.shown.pixels)")


def test_a_job_is_previewed_on_the_mesh_and_nothing_is_left_of_it(window):
    window.run_script(
        "settings.target, settings.steps, settings.width, settings.height = 'MATERIAL', 500, 64, "
        "64\nbpy.ops.sd.generate()"
    )
    window.wait_for("overlay.JOB in overlay._on", ENGINE_START)
    assert window.run_script("result = state().text") == "Paused: the queue comes first"
    window.screenshot("preview-on-mesh")
    assert window.run_script("""
path = os.path.join(sd.output_folder(), "saved.blend")
bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
with bpy.data.libraries.load(path) as (inside, _):
    names = list(inside.images)
node = cube.active_material.node_tree.nodes.active
prefs.mesh_preview = False
result = [sorted({*names} - {'Render Result', 'Viewer Node'}), node.image.name]
""") == [["old brick wall", "painted"], "painted"], "the file holds no preview"
    window.wait_for("overlay.JOB not in overlay._on", 30)
    window.run_script("prefs.mesh_preview = True\nsd.cancel_all()")
    window.wait_for("sd.jobs()[-1].done and overlay.JOB not in overlay._on", 60)
    _rests(window)


def test_buttons_change_the_order_of_the_queue(window):
    window.open_only("Queue")  # before live mode says that the queue comes first
    window.run_script("""
settings.target, settings.count = "NEW", 20
for prompt in ("first", "second", "third"):
    settings.prompt = prompt
    bpy.ops.sd.generate()
""")

    def third_is_selected() -> bool:
        window.click_text("third")  # again where the list was still growing
        return window.run_script(
            "now = bpy.context.window_manager.sd\nresult = now.jobs[now.job_index].name == 'third'")

    window.wait_for(third_is_selected, 20, "the third job to be selected")
    window.screenshot("queue")
    window.click(window.sidebar()[2] - ICONS, window.find_text("first").centre[1])  # the arrow beside the list's top
    window.wait_for("[job.label for job in sd.jobs() if not job.done] == ['first', 'third', 'second']", 10)
    window.run_script("sd.cancel_all()\nsettings.prompt, settings.count = 'old brick wall', 1")
    window.wait_for("all(job.done for job in sd.jobs())", 60)


def test_stop_takes_everything_away(window):
    window.open_only("Live")
    window.click_text("Stop")
    assert window.run_script("""
lists = [getattr(bpy.app.handlers, name) for name in live._CHANGES]
result = [state().running, state().text, overlay._over, list(overlay._on), len(overlay._handlers),
          any(live._touched in one for one in lists), len(bpy.data.images)]
""")[:6] == [False, "", None, [], 0, False]
    window.click_text("Start Live Mode")
    window.wait_for("state().picture", 60)
    window.run_script("bpy.ops.wm.read_homefile(use_factory_startup=True)")
    assert window.run_script("result = [state().running, live.running(), len(overlay._handlers)]") == [
        False, False, 0], "a file was opened"
