"""The popover "Where Did This Come From" in the Image Editor: facts, the chain and its buttons, the file; and a bake
from a button."""
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from blender_sd.core.image_origin import COMPOSITE, GENERATED, ORIGIN_KEY, Origin, Part
from blender_sd.core.webui_text import parameters_text
from blender_sd.library.png import PARAMETERS_KEY, REQUEST_KEY
from blender_sd.core.request import Request
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from tests.support.window.harness import BlenderWindow

pytestmark = pytest.mark.newest

QUESTION = 68  # pixels from the sidebar's right edge to the middle of the button that opens the popover


def _write(path: Path, colour: tuple[int, int, int], request: Request, origin: Origin) -> str:
    """A picture as the engine leaves it; its digest."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text(PARAMETERS_KEY, parameters_text(request, "starter"))
    texts.add_itxt(REQUEST_KEY, request.to_json())
    texts.add_itxt(ORIGIN_KEY, origin.to_json())
    picture = Image.new("RGB", (256, 192), colour)
    for row in range(0, 192, 32):
        for column in range(-row % 64 // 2, 256, 64):
            ImageDraw.Draw(picture).rectangle((column, row, column + 58, row + 27),
                                              tuple(min(255, value + 40) for value in colour))
    picture.save(path, pnginfo=texts)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An output folder: a texture painted over another one, that over a photograph whose copy is gone."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "sources").mkdir()
    first = _write(
        folder / "20261124-bricks-1.png",
        (150, 60, 50),
        Request.of(
            IMAGE_TO_IMAGE, prompt="old red brick wall", seed=5, model="/models/brick-xl", source=f"sha256:{'7' * 64}"
        ),
        Origin(
            "blender_sd 0.1.0",
            "2026-11-24T16:10:55Z",
            "Brick XL",
            "SDXL",
            "cc-by-nc-4.0",
            "https://example.org/licence",
            COMPOSITE,
        ),
    )
    (folder / "sources" / f"{first[7:]}.png").write_bytes((folder / "20261124-bricks-1.png").read_bytes())
    _write(
        folder / "20261124-mosaic-1.png",
        (60, 90, 140),
        Request.of(
            IMAGE_TO_IMAGE,
            prompt="blue mosaic of small tiles, wet, soft evening light",
            negative="blurry, text",
            seed=41,
            steps=24,
            model="/models/tile-sdxl",
            source=first,
        ),
        Origin(
            "blender_sd 0.1.0",
            "2026-11-24T17:00:00Z",
            "Tile SDXL",
            "SDXL",
            "creativeml-openrail++-m",
            "https://example.org/tile",
            COMPOSITE,
            (Part("LoRA", "aged-tiles"), Part("ControlNet", "depth-sdxl", "apache-2.0")),
        ),
    )
    _write(folder / "20261124-plain-1.png", (90, 120, 60), Request(prompt="green moss", seed=3), Origin(
        "blender_sd 0.1.0", "2026-11-24T17:30:00Z", "Starter", "Starter", "CC0-1.0", "", GENERATED))
    return folder


@pytest.fixture(scope="module")
def window(blender: BlenderWindow, folder: Path) -> BlenderWindow:
    """Blender with an Image Editor in place of the 3D View, showing the mosaic."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
from bl_ext.user_default.blender_sd.addon import image_origin
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.output = "/no/such/python", {str(folder)!r}
""")
    blender.become("IMAGE_EDITOR")
    blender.open_tab("SD", "IMAGE_EDITOR", width=470)
    blender.run_script(f"""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width * a.height)
area.spaces.active.image = sd.open_picture({str(folder / '20261124-mosaic-1.png')!r})
""")  # noqa: E501
    return blender


def _open(window: BlenderWindow) -> tuple[int, int, int, int]:
    """Opens the popover from the first panel's header; where to read it."""
    box = window.sidebar("IMAGE_EDITOR")
    window.click(box[2] - QUESTION, window.find_text("Stable Diffusion", box).centre[1])
    everywhere = (0, 0, window.screen.width, window.screen.height)
    window.find_text("Copy as Text", everywhere)
    return everywhere


def _close(window: BlenderWindow) -> None:
    window.key("Escape")
    window.wait_for(
        lambda: not window.shows("Copy as Text", (0, 0, window.screen.width, window.screen.height), timeout=0), 10,
        "the popover to close")


def _shown(window: BlenderWindow) -> str:
    return window.run_script("""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width * a.height)
result = area.spaces.active.image.name
""")  # noqa: E501


def test_the_panel_is_read_and_the_chains_picture_opened(window):
    # The chain is traced before it is asked for.
    window.wait_for("any(details.chain for details in image_origin._details.values())", 20, "the chain")
    box = _open(window)
    for words in ("Composite", "aged-tiles", "Made of", "No copy of it"):
        window.find_text(words, box)
    window.screenshot("chain")
    prompt = window.find_text("old red brick wall", box)
    right = window.find_text("Report of All", box).box[2]
    window.screenshot("before")
    window.click(right + 40, prompt.centre[1] - 21)  # the first of the two buttons on the line above, at the right
    window.wait_for(lambda: _shown(window) == "old red brick wall", 10, "the brick wall in the editor")
    window.find_text("Non-commercial use only", box)
    window.click_text("Look into the File", box)
    window.find_text("no content credentials", box)
    window.screenshot("opened")
    _close(window)


def test_an_image_without_known_origin(window, folder):
    texts = PngImagePlugin.PngInfo()
    texts.add_text(
        PARAMETERS_KEY,
        "a castle on a hill\nNegative prompt: people\nSteps: 30, Sampler: Euler a, CFG scale: 7, Seed: 12345")
    path = folder / "sources" / "stranger.png"
    Image.new("RGB", (64, 64), (200, 180, 120)).save(path, pnginfo=texts)
    window.run_script(f"""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width * a.height)
area.spaces.active.image = bpy.data.images.load({str(path)!r})
area.tag_redraw()
""")  # noqa: E501
    box = _open(window)
    window.find_text("Nothing is known", box)
    window.click_text("Look into the File", box)
    window.find_text("castle on a hill", box)
    window.screenshot("stranger")
    _close(window)


def test_a_bake_that_the_button_starts_is_marked(window, folder):
    """In a window Blender bakes in a job and tells of its end; `INVOKE_DEFAULT` is what the button does."""
    window.run_script(f"""
scene = bpy.context.scene
scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
cube = bpy.data.objects["Cube"]
material = sd.apply(sd.open_picture({str(folder / '20261124-plain-1.png')!r}), cube)
node = material.node_tree.nodes.new("ShaderNodeTexImage")
node.image = bpy.data.images.new("baked", 16, 16)
material.node_tree.nodes.active = node
bpy.context.view_layer.objects.active = cube
cube.select_set(True)
bpy.ops.object.bake("INVOKE_DEFAULT", type="EMIT")
""")
    window.wait_for("bpy.data.images['baked'].get('ai_generated')", 60, "the mark of the baked image")
    assert "green moss" in window.run_script("result = bpy.data.images['baked']['blender_sd_sources']")
    window.run_script("""
area = max((a for a in bpy.context.window.screen.areas if a.ui_type == "IMAGE_EDITOR"), key=lambda a: a.width * a.height)
area.spaces.active.image = bpy.data.images["baked"]
""")  # noqa: E501
    box = _open(window)
    window.find_text("Baked from generated", box)
    window.click_text("Report of All", box)
    window.wait_for("'Generated Images' in bpy.data.texts", 10)
    window.screenshot("report")
