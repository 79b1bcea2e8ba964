"""python scripts/screenshots.py [NAME ...]: takes the pictures of the guides from a real Blender window and writes them to docs/images.

Each picture is one function below, with a Blender of its own (under Xvfb, with the built extension installed and the starter model), so any
can be taken alone. Seeds are fixed. One that fails is named, the others go on, and the exit status is 1 then.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import build
import envs

TESTS = envs.ROOT / "tests" / "window"
IMAGES = envs.ROOT / "docs" / "images"
BLENDER = "5.2"
START = 180  # seconds for the engine, on a busy machine
COLOURS = 160  # of the palette that a picture is kept in

_PREPARE = """
import os, sys
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python = {engine!r}
settings, running = bpy.context.scene.sd, bpy.context.window_manager.sd
settings.random_seed, settings.seed, settings.steps, settings.tiling = False, 7, 16, "xy"
space = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width).spaces.active
space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
"""
_ON_THE_CUBE = """
settings.prompt, settings.target = "old red brick wall", "MATERIAL"
space.shading.type = "MATERIAL"
space.overlay.show_outline_selected = False
bpy.data.objects["Light"].hide_set(True)
bpy.data.objects["Camera"].hide_set(True)
space.region_3d.view_distance = 6.5
"""
_PAINT_SOME = """
for seed, words in enumerate(("red brick wall", "grey cobblestone", "green grass", "oak planks", "blue tiles", "rusty metal",
                              "white marble", "sand")):
    sd.generate(words, seed=seed, steps=12, size=(256, 256), tiling="xy")
"""


def take(window, name: str, box) -> None:
    """Writes what is on the screen within `box` to docs/images, in a palette: such pictures are small."""
    picture = window.screen.grab(tuple(box))
    picture.quantize(COLOURS, dither=0).save(IMAGES / f"{name}.png", optimize=True)


def ready(window, width: int = 420, kind: str = "VIEW_3D") -> None:
    """The tab is open and the engine has started."""
    window.open_tab("SD", kind, width)
    window.wait_for("running.engine == 'ready'", START)


def finished(window) -> None:
    window.wait_for("sd.jobs() and all(job.done for job in sd.jobs())", START)
    window.run_script("result = [str(job.error) for job in sd.jobs() if job.error]\nassert not result, result")


def aside(window) -> None:
    """The mouse over the timeline, where it lights nothing up, and what it had lit up drawn anew."""
    window.screen.move(700, 950)
    window.run_script("[area.tag_redraw() for area in bpy.context.window.screen.areas]")
    window.run_script("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=2)")


def only(window, name: str, label: str, box) -> None:
    """The panel alone, until `label` in it is read: headers glide up while those above them close."""
    window.open_only("Stable Diffusion", box)
    window.wait_for(lambda: window.open_only(name, box) or window.shows(label, box, 2), 40, f"the panel {name}")


def everything(window) -> tuple[int, int, int, int]:
    return 0, 0, window.screen.width, window.screen.height


def editor(window, kind: str = "VIEW_3D") -> tuple[int, int, int, int]:
    return tuple(window.area(kind)["box"])


def panel(window, first: str, last: str, kind: str = "VIEW_3D") -> tuple[int, int, int, int]:
    """The part of the sidebar from the line that says `first` to the one that says `last`."""
    left, _, right, _ = window.sidebar(kind)
    top = window.find_text(first, window.sidebar(kind)).box[1]
    return left, top - 12, right - 26, window.find_text(last, window.sidebar(kind)).box[3] + 14


# ---- the pictures --------------------------------------------------------------------------------------------------


def tab(window) -> None:
    """A brick wall on the cube, and the tab that made it."""
    window.run_script(_ON_THE_CUBE)
    ready(window)
    window.click_text("Generate")
    finished(window)
    window.run_script("bpy.data.worlds[0].node_tree.nodes['Background'].inputs[0].default_value = (0.2, 0.2, 0.2, 1)")
    window.wait_for("running.active is False", 10)
    aside(window)
    take(window, "tab", editor(window))


def tasks(window) -> None:
    """The three tasks: here a render is restyled."""
    ready(window)
    window.run_script("settings.prompt = 'mosaic'")
    window.click_text("Render", window.sidebar())
    window.wait_for("settings.task == 'RENDER'", 10)
    aside(window)
    take(window, "task-render", panel(window, "Stable Diffusion", "Ready on"))


def settings(window) -> None:
    """Model, size, tiling, and the sub-panels, open."""
    ready(window)
    window.open_only("Settings")
    window.find_text("Guidance")
    aside(window)
    left, top, right, bottom = window.sidebar()
    take(window, "settings", (left, top, right - 26, bottom))


def setup(window) -> None:
    """What stands in the tab without an engine."""
    window.run_script("prefs.engine_place = '/home/artist/engine'")
    window.open_tab("SD")
    window.find_text("Set Up the Engine")
    aside(window)
    left, top, right, _ = window.sidebar()
    take(window, "setup", (left, top, right - 26, window.find_text("Use an Existing Python").box[3] + 40))


def styles(window) -> None:
    """The menu of styles."""
    ready(window)
    window.wait_for("len(sys.modules['bl_ext.user_default.blender_sd.stylebook'].known_styles()) > 40", 30)
    window.click_text("No Style")
    window.find_text("Watercolour", everything(window))
    left, top, _, _ = window.find_text("Illustration", everything(window)).box
    right, _, _, _ = window.sidebar()
    take(window, "styles", (left - 40, top - 60, window.sidebar()[2], window.find_text("Woven Fabric", everything(window)).box[3] + 20))


def history(window) -> None:
    """Thumbnails, the selected picture, and what can be done with it."""
    window.run_script(_PAINT_SOME)
    ready(window)
    finished(window)
    only(window, "History", "Favourites", window.sidebar())
    window.click_text("grey cobbles")
    window.find_text("Recall Settings")
    aside(window)
    left, top, right, _ = window.sidebar()
    below = window.find_text("Get Models", window.sidebar()).box[1]
    take(window, "history", (left, window.find_text("History", window.sidebar()).box[1] - 12, right - 26, below - 40))


def wipe(window) -> None:
    """Two pictures compared in the Image Editor."""
    window.run_script(_PAINT_SOME)
    window.become("IMAGE_EDITOR")
    ready(window, kind="IMAGE_EDITOR")
    finished(window)
    window.run_script("""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width)
area.spaces.active.image = sd.jobs()[1].outputs[0]
area.spaces.active.zoom_percentage = 200
""")
    box = window.sidebar("IMAGE_EDITOR")
    only(window, "History", "Favourites", box)
    window.click_text("red brick", within=box)
    window.click_text("Compare", within=box)
    window.click_text("Wipe", within=box)
    window.wait_for("sys.modules['bl_ext.user_default.blender_sd.addon.history'].state().wipe", 10)
    aside(window)
    take(window, "wipe", editor(window, "IMAGE_EDITOR"))


def live(window) -> None:
    """Live mode over a plain scene."""
    window.run_script("""
settings.prompt = "old red brick wall"
bpy.ops.mesh.primitive_uv_sphere_add(radius=1.3, location=(2.6, 1.2, 0.3))
bpy.context.scene.sd_live.strength, bpy.context.scene.sd_live.mix = 0.45, 0.85
""")
    ready(window)
    only(window, "Live", "Start Live Mode", window.sidebar())
    window.click_text("Start Live Mode")
    window.wait_for("bpy.context.window_manager.sd_live.state == 'up_to_date'", START)
    window.find_text("Up to date")
    take(window, "live", editor(window))


def control(window) -> None:
    """A control, and the depth picture that the model gets."""
    window.run_script("settings.width = settings.height = 512\nsettings.controls.add()")
    window.become("IMAGE_EDITOR", was="PROPERTIES")
    ready(window)
    only(window, "Control", "Preview Control Image", window.sidebar())
    window.click_text("Preview Control Image")
    window.wait_for("any('control' in image.name for image in bpy.data.images)", START)
    aside(window)
    left, _, _, bottom = window.sidebar()
    take(window, "control", (left, window.find_text("Control", window.sidebar()).box[1] - 12, window.screen.width, bottom))


def queue(window) -> None:
    """A running job and two that wait."""
    window.run_script("""
for words, steps in (("red brick wall", 300), ("grey cobblestone", 20), ("green grass", 20)):
    sd.generate(words, seed=1, steps=steps, size=(512, 512), tiling="xy")
""")
    ready(window)
    window.click_text("Settings", window.sidebar())  # which makes room
    window.wait_for("sd.jobs()[0].step > 12", START)
    take(window, "queue", panel(window, "Queue", "Clear Finished"))
    window.run_script("sd.cancel_all()")


def pie(window) -> None:
    """The pie menu over the 3D View."""
    ready(window)
    view = window.area()["regions"]["WINDOW"]
    middle = (view[0] + 480, (view[1] + view[3]) // 2)
    window.key("ctrl+shift+i", over=(middle[0] - 1, middle[1] - 1, middle[0] + 1, middle[1] + 1))
    window.find_text("Restyle View", everything(window))
    take(window, "pie", (middle[0] - 330, middle[1] - 170, middle[0] + 330, middle[1] + 170))


def models(window) -> None:
    """Models from the hub."""
    ready(window)
    only(window, "Get Models", "Read the Licence", window.sidebar())
    take(window, "get-models", panel(window, "Get Models", "preferences can name"))


PICTURES: tuple[Callable, ...] = (tab, tasks, settings, setup, styles, history, wipe, live, control, queue, pie, models)


def main() -> int:
    parser = argparse.ArgumentParser(description="Takes the guides' pictures from a real Blender window.")
    known = [one.__name__ for one in PICTURES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures (default: all): {', '.join(known)}")
    chosen = parser.parse_args().names
    if not set(chosen) <= set(known):
        parser.error(f"there are the pictures {', '.join(known)}")
    envs.run_inside()
    sys.path.insert(0, str(TESTS))
    from harness import BlenderWindow

    python = str(envs.ensure(envs.blender_env(BLENDER)))
    failed = []
    with tempfile.TemporaryDirectory(prefix="sd-pictures-") as folder:
        archive = build.build(Path(folder))
        for one in PICTURES:
            if chosen and one.__name__ not in chosen:
                continue
            try:
                with BlenderWindow(python, [archive], Path(folder) / one.__name__) as window:
                    window.run_script(_PREPARE.format(engine="" if one is setup else sys.executable))
                    one(window)
                print(f"{one.__name__}: taken", flush=True)
            except Exception as error:  # whatever it is, the others can be taken
                print(f"{one.__name__}: {error}", file=sys.stderr, flush=True)
                failed.append(one.__name__)
    print(f"failed: {', '.join(failed)}" if failed else f"all in {IMAGES}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
