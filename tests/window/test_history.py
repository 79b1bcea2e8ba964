"""The panel History as a person uses it: thumbnails, Show, Recall, Trash and Undo, search; Compare with a wipe in the
Image Editor."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from blender_sd.core.webui_text import parameters_text
from blender_sd.library.png import PARAMETERS_KEY, REQUEST_KEY
from blender_sd.core.request import Request
from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

COLOURS = {"crimson": (200, 30, 50), "emerald": (30, 170, 90), "sapphire": (40, 70, 200), "amber": (230, 160, 30)}
HISTORY = "history.shown()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures of another day: four flat ones on the first page, and older ones behind them."""
    folder = tmp_path_factory.mktemp("output")
    older = {f"older {number}": (90, 90, 90 + number) for number in range(10)}
    for number, (name, colour) in enumerate({**older, **COLOURS}.items()):
        request = Request(prompt=f"{name} wall, old", seed=100 + number, width=512, height=384, steps=7)
        texts = PngImagePlugin.PngInfo()
        texts.add_text(PARAMETERS_KEY, parameters_text(request, "starter"))
        texts.add_itxt(REQUEST_KEY, request.to_json())
        path = folder / f"{name}.png"
        Image.new("RGB", (512, 384), colour).save(path, pnginfo=texts)
        os.utime(path, (1.7e9 + number,) * 2)
    return folder


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, folder: Path) -> BlenderWindow:
    """Blender with the output folder set, an Image Editor beside the 3D View, and the panel History alone open."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
from bl_ext.user_default.blender_sd.addon import history
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.output = "/no/such/python", {str(folder)!r}
""")
    blender.become("IMAGE_EDITOR", was="PROPERTIES")
    blender.open_tab("SD")
    _open_panel(blender, "VIEW_3D")
    blender.wait_for(f"{HISTORY}.ready and {HISTORY}.total == 14", 30)
    return blender


def _open_panel(window: BlenderWindow, kind: str) -> None:
    """History alone. Its header is further down than the window is high, and glides up when the panels above it are
    closed."""
    window.open_only("Stable Diffusion", window.sidebar(kind))
    box = window.sidebar(kind)
    window.wait_for(lambda: window.open_only("History", box) or window.shows("Favourites", box, 2), 30, "the panel")


def _share(window: BlenderWindow, box, name: str) -> int:
    """How many pixels within `box` have that picture's colour."""
    wanted = COLOURS[name]
    pixels = window.screen.grab(tuple(box)).getdata()
    return sum(all(abs(a - b) <= 6 for a, b in zip(pixel, wanted, strict=True)) for pixel in pixels)


def _shown_image(window: BlenderWindow) -> str:
    return window.run_script("""
space = next(a.spaces.active for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR")
result = sd.recall(space.image).prompt if space.image else ""
""")


def test_thumbnails_are_seen(window):
    for name in COLOURS:
        window.wait_for(lambda: _share(window, window.sidebar(), name) > 1000, 30,  # noqa: B023
                        f"the thumbnail of {name}")  # noqa: B023 (called at once)
    assert window.run_script("result = len(history.shown().entries), len(history._previews)") == [12, 12]
    window.screenshot("thumbnails")


def test_a_click_selects_and_show_shows(window):
    window.click_text("emerald")
    window.wait_for(f"{HISTORY}.selected is not None", 10)
    window.scroll(window.sidebar(), 12)  # the buttons of what is selected stand below the window
    window.screenshot("selected")
    window.click_text("Show")
    window.wait_for(lambda: _shown_image(window) == "emerald wall, old", 10)


def test_a_click_on_a_picture_shows_it_larger_and_a_second_one_opens_it(window):
    left, top, _, _ = window.find_text("crimson", window.sidebar()).box
    window.click(left + 30, top - 30)  # the picture, above its words
    screen = (0, 0, window.screen.width, window.screen.height)
    window.wait_for(lambda: _share(window, screen, "crimson") > 20000, 10, "the larger picture")
    window.screenshot("larger")
    images = window.run_script("result = len(bpy.data.images)")
    window.click(left + 30, top + 100)  # it stands below the small one
    window.wait_for(lambda: _shown_image(window) == "crimson wall, old", 10)
    box = window.find_text("amber", window.sidebar()).box
    window.click(box[0] + 30, box[1] - 30)
    window.wait_for(lambda: _share(window, screen, "amber") > 20000, 10, "the larger picture")
    window.click(box[0] + 30, box[1] + 100)
    window.wait_for(lambda: _shown_image(window) == "amber wall, old", 10)
    assert window.run_script(
        "result = len(bpy.data.images)") == images + 1, "only the one that is looked at is in the file"
    window.screenshot("opened")
    window.click_text("emerald", window.sidebar())
    window.wait_for(f"{HISTORY}.selected.name == 'emerald.png'", 10)


def test_recall_fills_the_tab_and_same_seed_only_the_seed(window):
    window.run_script("bpy.context.scene.sd.prompt, bpy.context.scene.sd.seed = 'mine', 1")
    window.click_text("Same Seed")
    window.wait_for("bpy.context.scene.sd.seed == 111 and bpy.context.scene.sd.prompt == 'mine'", 10)
    window.click_text("Recall Settings")
    window.wait_for("bpy.context.scene.sd.prompt == 'emerald wall, old' and bpy.context.scene.sd.steps == 7", 10)


def test_trash_and_undo(window, folder):
    window.click_text("amber")
    window.wait_for(f"{HISTORY}.selected.name == 'amber.png'", 10)
    assert window.run_script("result = bpy.ops.sd.history_trash() == {'FINISHED'}")
    window.wait_for(lambda: not (folder / "amber.png").exists() and (folder / ".trash" / "amber.png").exists(), 10)
    window.wait_for(f"{HISTORY}.undo == ('amber.png',)", 10)
    window.find_text("Moved to trash")
    window.screenshot("trashed")
    window.click_text("Undo")
    window.wait_for(lambda: (folder / "amber.png").exists(), 10)
    window.wait_for(f"{HISTORY}.total == 14", 10)


def test_typing_searches(window):
    window.click_text("Search")
    window.type_text("sapph")
    window.wait_for(f"{HISTORY}.total == 1", 10)  # while the field is still open
    window.key("Return")
    window.wait_for(lambda: _share(window, window.sidebar(), "crimson") == 0, 10)
    assert _share(window, window.sidebar(), "sapphire") > 1000
    window.screenshot("search")


def _canvas(window: BlenderWindow) -> tuple[int, int, int, int]:
    """What of the Image Editor's picture is left of its sidebar, without its edges."""
    left, top, right, bottom = window.area("IMAGE_EDITOR")["regions"]["WINDOW"]
    edge = window.sidebar("IMAGE_EDITOR")[0]
    return left + 60, (top + bottom) // 2 - 40, min(right, edge) - 20, (top + bottom) // 2 + 40


def test_compare_and_wipe_in_the_image_editor(window):
    window.become("IMAGE_EDITOR", was="VIEW_3D")
    window.run_script("""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width * a.height)
area.spaces.active.image = next(i for i in bpy.data.images if "emerald" in i.name)
history.state().search = ""
""")  # noqa: E501
    window.open_tab("SD", "IMAGE_EDITOR")
    _open_panel(window, "IMAGE_EDITOR")
    sidebar = window.sidebar("IMAGE_EDITOR")
    window.click_text("crimson", within=sidebar)
    window.wait_for(f"{HISTORY}.selected.name == 'crimson.png'", 10)
    canvas = _canvas(window)
    window.click_text("Compare", within=sidebar)
    window.wait_for(lambda: _share(window, canvas, "crimson") > 5000 and not _share(window, canvas, "emerald"), 10,
                    "B alone")
    window.screenshot("compare")
    window.click_text("Wipe", within=sidebar)
    window.wait_for("history.state().wipe", 10)
    window.wait_for(lambda: _share(window, canvas, "emerald") > 2000 and _share(window, canvas, "crimson") > 2000, 10,
                    "A beside B")
    window.screenshot("wipe")
    before = _share(window, canvas, "emerald")
    middle = window.run_script("""
region = next(r for r in area.regions if r.type == "WINDOW")
a, b = region.view2d.view_to_region(0, 0, clip=False)[0], region.view2d.view_to_region(1, 0, clip=False)[0]
result = region.x + (a + b) / 2
""")
    y = (canvas[1] + canvas[3]) // 2
    window.drag((round(middle), y), (round(middle) - 150, y))
    window.wait_for("history.state().wipe_at < 0.45", 10)
    window.wait_for(lambda: _share(window, canvas, "emerald") < before - 1000, 10, "the line further left")
    window.screenshot("wipe-dragged")
    window.click_text("Current", within=sidebar)
    window.wait_for(lambda: not _share(window, canvas, "crimson") and _share(window, canvas, "emerald") > 5000, 10,
                    "A alone")
    window.click_text("Keep", within=sidebar)
    window.wait_for(f"{HISTORY}.comparison is None", 10)
    window.wait_for(lambda: _share(window, canvas, "crimson") > 5000, 10, "B stays")
