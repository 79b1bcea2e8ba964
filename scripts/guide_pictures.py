"""Take the pictures of the guide, for `screenshots.py`: each function sets one up and takes a part of the screen."""
from __future__ import annotations

from collections.abc import Callable

import envs

IMAGES = envs.ROOT / "docs" / "images"
START = 180  # seconds for the engine, on a busy machine
COLOURS = 128  # in a picture's palette
LARGEST = 250_000  # bytes of a picture at most

PREPARE = """
import os, sys
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python = {engine!r}
running = bpy.context.window_manager.sd
settings.random_seed, settings.seed, settings.steps, settings.tiling = False, 7, 16, "xy"
space = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width).spaces.active
space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
"""
_ON_THE_CUBE = """
settings.width = settings.height = 384
settings.target = "MATERIAL"
space.shading.type = "MATERIAL"
space.overlay.show_outline_selected = space.overlay.show_cursor = space.overlay.show_object_origins = False
bpy.data.objects["Light"].hide_set(True)
bpy.data.objects["Camera"].hide_set(True)
bpy.data.worlds[0].node_tree.nodes["Background"].inputs[0].default_value = (0.2, 0.2, 0.2, 1)
space.region_3d.view_distance, space.region_3d.view_location = 8.5, (-0.5, 0.9, -0.7)
mesh = bpy.data.objects["Cube"].data
for face in mesh.polygons:  # as UV > Cube Projection does: each side shows the whole picture, upright
    across, up = {0: (1, 2), 1: (0, 2), 2: (0, 1)}[max(range(3), key=lambda axis: abs(face.normal[axis]))]
    for corner in face.loop_indices:
        place = mesh.vertices[mesh.loops[corner].vertex_index].co
        mesh.uv_layers.active.data[corner].uv = (place[across] + 1) / 2, (place[up] + 1) / 2
"""
_PAINT_SOME = """
for seed, words in enumerate(("red brick wall", "grey cobblestone", "green grass", "oak planks", "blue tiles",
                              "rusty metal", "white marble", "sand")):
    sd.generate(words, seed=seed, steps=12, size=(256, 256), tiling="xy")
"""
_COBBLES = "settings.prompt, settings.steps = 'grey cobblestone', 12\nbpy.ops.sd.generate()"
_SHOW = """
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width)
area.spaces.active.image = sd.jobs()[{number}].outputs[0]
area.spaces.active.zoom_percentage = {zoom}
"""
_POLICY = """
package = "bl_ext.user_default.blender_sd"
sys.modules[package + ".addon.policy"].EVERY = 1e9
runtime, status = sys.modules[package + ".calls.runtime"].runtime, sys.modules[package + ".library.policy_status"]
file, contact = "/etc/blender_sd/policy.toml", "Ask Maria in room 12, or pipeline@studio.example"
runtime.policy.state = status.State((file,), contact, filter="nsfw_image_detection", filter_file=file)
"""


def take(window, name: str, box) -> None:
    """Write the part of the screen within `box` to docs/images, with a palette, which keeps the file small."""
    path = IMAGES / f"{name}.png"
    window.screen.grab(tuple(box)).quantize(COLOURS, dither=0).save(path, optimize=True)
    assert path.stat().st_size < LARGEST, f"{name}.png has {path.stat().st_size} bytes: cut it closer"


def ready(window, kind: str = "VIEW_3D") -> None:
    """Open the tab and wait until the engine has started."""
    window.open_tab("SD", kind)
    window.wait_for("running.engine == 'ready'", START)


def on_the_cube(window, script: str) -> None:
    """Show a textured cube in Material Preview, and the tab; then run `script`."""
    window.run_script(_ON_THE_CUBE)
    ready(window)
    window.run_script(script)


def finished(window) -> None:
    window.wait_for("sd.jobs() and all(job.done for job in sd.jobs())", START)
    window.run_script("result = [str(job.error) for job in sd.jobs() if job.error]\nassert not result, result")


def aside(window) -> None:
    """Move the mouse over the timeline, where it highlights nothing, and redraw what it had highlighted."""
    window.screen.move(700, 950)
    window.run_script("[area.tag_redraw() for area in bpy.context.window.screen.areas]")
    window.run_script("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=2)")


def only(window, name: str, label: str, box) -> None:
    """Open this panel alone and wait until `label` is read in it: headers move up while those above them close."""
    window.open_only("Stable Diffusion", box)
    window.click_text("Stable Diffusion", box)  # fold it, or the others are below the window's edge
    window.wait_for(lambda: window.open_only(name, box) or window.shows(label, box, 2), 40, f"the panel {name}")


def everything(window) -> tuple[int, int, int, int]:
    return 0, 0, window.screen.width, window.screen.height


def editor(window, kind: str = "VIEW_3D") -> tuple[int, int, int, int]:
    return tuple(window.area(kind)["box"])


def popover(window, text: str) -> tuple[int, int, int, int]:
    """Return the box of the open popover, once it shows `text`."""
    window.find_text(text, everything(window))
    return tuple(window.run_script("result = popups()")[-1])


def panel(window, first: str, last: str) -> tuple[int, int, int, int]:
    """Return the box of the sidebar from the line `first` to the line `last`."""
    left, _, right, _ = box = window.sidebar()
    return left, window.find_text(first, box).box[1] - 12, right - 26, window.find_text(last, box).box[3] + 14


# ---- the pictures --------------------------------------------------------------------------------------------------


def tab(window) -> None:
    """Show a brick wall on the cube, and the tab that made it."""
    on_the_cube(window, "settings.prompt = 'red brick wall'")
    window.click_text("Generate")
    finished(window)
    aside(window)
    left, top, right, _ = editor(window)
    take(window, "tab", (left, top, right, window.find_text("High-Res Fix", window.sidebar()).box[3] + 14))


def tasks(window) -> None:
    """Show Texture and Render, two of the three tasks."""
    on_the_cube(window, _COBBLES)
    finished(window)
    window.run_script("settings.prompt = 'mosaic'")
    for name, task, button in (("task-texture", "Texture", "Retexture Slot"), ("task-render", "Render", "Restyle")):
        window.click_text(task, window.sidebar())
        window.wait_for(f"settings.task == {task.upper()!r}", 10)
        window.find_text(button)
        window.run_script("settings.prompt = 'mosaic'" if task == "Texture" else "")
        aside(window)
        take(window, name, panel(window, "Stable Diffusion", "Ready (processor)"))


def settings(window) -> None:
    """Show model, size, tiling, and the open sub-panels."""
    ready(window)
    window.open_only("Settings")
    window.find_text("Guidance")
    window.click_text("Stable Diffusion")  # closes it, which makes room
    window.find_text("Upscaler")
    aside(window)
    take(window, "settings", panel(window, "Settings", "Noise"))


def setup(window) -> None:
    """Show the tab without an engine."""
    window.run_script("prefs.base = '/home/artist/.local/share/blender_sd'")
    window.open_tab("SD")
    window.find_text("Set Up the Engine")
    aside(window)
    left, top, right, _ = window.sidebar()
    take(window, "setup", (left, top, right - 26, window.find_text("Use an Existing Python").box[3] + 40))


def styles(window) -> None:
    """Show the gallery of styles."""
    on_the_cube(window, "settings.prompt = 'large mossy grey'")
    window.wait_for("len(sys.modules['bl_ext.user_default.blender_sd.calls.styles'].known_styles()) > 40", 30)
    window.click_text("No Style")
    take(window, "styles", popover(window, "Watercolour"))


def history(window) -> None:
    """Show thumbnails, the selected picture, and its buttons."""
    window.run_script(_PAINT_SOME)
    ready(window)
    finished(window)
    only(window, "History", "Favourites", window.sidebar())
    window.click_text("grey cobbles")
    window.find_text("Recall Settings")
    aside(window)
    left, top, right, _ = window.sidebar()
    below = window.find_text("Material Library", window.sidebar()).box[1]
    take(window, "history", (left, window.find_text("History", window.sidebar()).box[1] - 12, right - 26, below - 40))


def wipe(window) -> None:
    """Show two pictures compared in the Image Editor."""
    window.run_script(_PAINT_SOME)
    window.become("IMAGE_EDITOR")
    ready(window, kind="IMAGE_EDITOR")
    finished(window)
    window.run_script(_SHOW.format(number=1, zoom=180))
    box = window.sidebar("IMAGE_EDITOR")
    only(window, "History", "Favourites", box)
    window.click_text("red brick", within=box)
    window.click_text("Compare", within=box)
    window.click_text("Wipe", within=box)
    window.wait_for("sys.modules['bl_ext.user_default.blender_sd.addon.history'].state().wipe", 10)
    aside(window)
    left, top, right, bottom = editor(window, "IMAGE_EDITOR")
    take(window, "wipe", (left + 380, top + 28, right, bottom - 40))


def origin(window) -> None:
    """Show a mosaic, and the wall that it was made from."""
    window.become("IMAGE_EDITOR")
    ready(window, "IMAGE_EDITOR")
    window.run_script("first = sd.generate('red brick wall', seed=5, steps=12, size=(256, 256), tiling='xy')")
    finished(window)
    window.run_script("sd.restyle(first.result()[0], 'blue mosaic', seed=6, steps=12)")
    finished(window)
    window.run_script(_SHOW.format(number=1, zoom=150))
    box = window.sidebar("IMAGE_EDITOR")
    window.click(box[2] - 68, window.find_text("Stable Diffusion", box).centre[1])  # the question mark in the header
    window.find_text("Made of", everything(window))
    take(window, "origin", popover(window, "Report of All"))


def live(window) -> None:
    """Show live mode over a plain scene."""
    window.run_script("""
settings.prompt = "old red brick wall"
for x, y, size in ((-2.2, 1.0, 1.4), (1.6, 2.4, 1.0)):
    bpy.ops.mesh.primitive_cylinder_add(radius=size * 0.6, depth=size * 2, location=(x, y, 0))
space.shading.color_type, space.shading.background_type = "OBJECT", "VIEWPORT"
space.shading.background_color = (0.02, 0.03, 0.06)
for name, colour in (("Cube", (0.6, 0.15, 0.08, 1)), ("Cylinder", (0.7, 0.5, 0.25, 1)),
                     ("Cylinder.001", (0.2, 0.35, 0.5, 1))):
    bpy.data.objects[name].color = colour
bpy.data.objects["Camera"].hide_set(True)
bpy.data.objects["Light"].hide_set(True)
space.overlay.show_outline_selected = space.overlay.show_cursor = space.overlay.show_object_origins = False
space.region_3d.view_distance, space.region_3d.view_location = 8, (-0.5, 1.2, 0)
bpy.context.scene.sd_live.strength, bpy.context.scene.sd_live.mix = 0.35, 0.75
""")
    ready(window)
    only(window, "Live", "Start Live Mode", window.sidebar())
    window.click_text("Start Live Mode")
    window.wait_for("bpy.context.window_manager.sd_live.state == 'up_to_date'", START)
    window.find_text("Up to date")
    aside(window)
    left, top, right, _ = editor(window)
    take(window, "live", (left + 260, top, right, window.find_text("Control", window.sidebar()).box[3] + 120))


def control(window) -> None:
    """Show a control, and the depth picture that the model gets."""
    window.run_script("settings.width = settings.height = 512\nsettings.controls.add()")
    window.become("IMAGE_EDITOR", was="PROPERTIES")
    ready(window)
    only(window, "Control", "Preview Control Image", window.sidebar())
    window.click_text("Preview Control Image")
    window.wait_for("any('control' in image.name for image in bpy.data.images)", START)
    aside(window)
    left, top, _, _ = window.sidebar()
    below = editor(window, "IMAGE_EDITOR")[1] + 540
    top = window.find_text("Control", window.sidebar()).box[1] - 12
    take(window, "control", (left, top, window.screen.width, below))


def views(window) -> None:
    """Show an object from the sides that it is textured from, two of them left out."""
    window.run_script("""
bpy.ops.mesh.primitive_monkey_add()
bpy.context.object.modifiers.new("Smooth", "SUBSURF").levels = 2
bpy.context.scene.sd.texture_sides[4] = bpy.context.scene.sd.texture_sides[9] = False
""")
    ready(window)
    window.open_only("Seed Walk")  # which folds those above
    only(window, "Texture Object", "Show Views", window.sidebar())
    window.click_text("Show Views", window.sidebar())
    window.wait_for("len(sys.modules['bl_ext.user_default.blender_sd.addon.view_strip']._previews) == 10", 60)
    window.find_text("More views are added", window.sidebar())
    aside(window)
    take(window, "views", panel(window, "Texture Object", "surface well"))


def queue(window) -> None:
    """Show a running job and two waiting ones."""
    window.run_script("""
for words, steps in (("red brick wall", 300), ("grey cobblestone", 20), ("green grass", 20)):
    sd.generate(words, seed=1, steps=steps, size=(512, 512), tiling="xy")
""")
    ready(window)
    window.click_text("Settings", window.sidebar())  # which makes room
    window.wait_for("sd.jobs()[0].step > 12", START)
    left, _, right, bottom = window.sidebar()
    below = (left, window.find_text("Enlarge", window.sidebar()).box[3], right, bottom)
    first, last = window.find_text("Queue", below).box[1], window.find_text("Finished", below).box[3]
    take(window, "queue", (left, first - 12, right - 26, last + 14))
    window.run_script("sd.cancel_all()")


def pie(window) -> None:
    """Show the pie menu over the 3D View."""
    on_the_cube(window, "settings.prompt = 'old red brick wall'\nspace.shading.type = 'SOLID'")
    view = window.area()["regions"]["WINDOW"]
    middle = (view[0] + 480, (view[1] + view[3]) // 2)
    over = (middle[0] - 1, middle[1] - 1, middle[0] + 1, middle[1] + 1)
    window.key("ctrl+shift+i", over=over)
    window.find_text("Restyle View", everything(window))
    take(window, "pie", (middle[0] - 330, middle[1] - 170, middle[0] + 330, middle[1] + 170))


def models(window) -> None:
    """Show models from the hub."""
    window.run_script("prefs.downloads = '/home/artist/models'")
    ready(window)
    window.click(window.sidebar()[2] - 48, window.find_text("Model").centre[1])  # the arrow beside the model
    take(window, "get-models", popover(window, "Into"))


def studio(window) -> None:
    """Show the preferences under a policy."""
    window.run_script(f"{_POLICY}\nprefs.section = 'TRUST'")
    window.run_script("bpy.ops.preferences.addon_show(module='bl_ext.user_default.blender_sd')")
    screen = everything(window)
    window.screen.move(*window.find_text("Mark Pictures", within=screen).centre)
    window.wait_for(lambda: _scrolled_to(window, "Ask Maria"), 60, "the section Safety")
    first, last = window.find_text("Set by your studio's policy", screen).box, window.find_text("Ask Maria", screen).box
    take(window, "studio", (first[0] - 12, first[1] - 60, first[0] + 680, last[3] + 14))


def _scrolled_to(window, text: str) -> bool:
    for _ in range(4):
        window.screen.press(5)
        window.screen.release(5)
    return window.shows(text, everything(window), 1)


PICTURES: tuple[Callable, ...] = (tab, tasks, settings, setup, styles, history, wipe, origin, live, control, views,
                                  queue, pie, models, studio)
