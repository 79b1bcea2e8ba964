"""Marks on image datablocks, where no thread runs beside: Blender's own Save As, input pictures, and what a hostile
file may hold."""
from __future__ import annotations

from pathlib import Path

import bpy

from blender_sd import scene
from blender_sd.library.image_origin import SOURCES_KEY
from blender_sd.core.image_origin import ORIGIN_KEY, Origin
from blender_sd.library.png import REQUEST_KEY
from blender_sd.core.request import Request
from blender_sd.scene import marks
from tests.support.pictures import colours, result, write_png


def test_save_as_in_the_image_editor_keeps_the_marks(tmp_path: Path) -> None:
    image = scene.load_result(result(tmp_path / "r.png", colours(16, 16), prompt="brick"))
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "IMAGE_EDITOR"
    area.spaces.active.image = image
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):  # no other thread runs here
        assert bpy.ops.image.save_as(filepath=str(tmp_path / "elsewhere.png")) == {"FINISHED"}
    assert Path(bpy.path.abspath(image.filepath)).name == "elsewhere.png"
    assert marks.is_marked(image) and scene.request_of(image).prompt == "brick"


def test_an_input_picture_of_ours_is_marked_again(tmp_path: Path) -> None:
    texts = {REQUEST_KEY: Request(prompt="moss").to_json(), ORIGIN_KEY: Origin(model="XL").to_json()}
    ours = scene.load_kept(write_png(tmp_path / "ours.png", colours(8, 8), texts))
    assert marks.facts_of(ours).model == "XL" and marks.is_marked(ours)
    assert not marks.facts_of(scene.load_kept(write_png(tmp_path / "photo.png", colours(8, 8)))).known


def test_what_a_strangers_file_may_hold_breaks_nothing(tmp_path: Path) -> None:
    image = bpy.data.images.new("odd", 4, 4)
    for value in (7, 0.5, [1, 2], {"a": {"b": 1}}, "{", "[" * 5000, '{"format": 1, "parts": 5}'):
        for key in (REQUEST_KEY, ORIGIN_KEY, SOURCES_KEY, marks.MARK_PROPERTY):
            image[key] = value
        facts = marks.facts_of(image)
        assert facts.request is None and facts.origin is None and facts.baked == () and facts.marked
    material = bpy.data.materials.new("odd")
    material[marks.MARK_PROPERTY] = {"a": 1}
    material.use_fake_user = image.use_fake_user = True
    marks.on_save()
    assert material[marks.MARK_PROPERTY]["a"] == 1 and len(scene.generated()) == 1
