from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.library import png
from blender_sd.core.errors import InvalidRequest, SourceUnusable
from blender_sd.protocol.messages import Result
from blender_sd.core.request import Request
from tests.support.pictures import colours, decoded, difference, generated, pixels_of, png_bytes, raw_pixels, result, write_png  # noqa: E501


def test_clean_file_travels_as_its_own_bytes(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", colours(7, 5))
    image = bpy.data.images.load(str(path))
    source = scene.source_of(image)
    assert callable(source)
    assert source().encoded == path.read_bytes()
    assert not image.has_data, "it must not be decoded on the main thread"
    assert scene.size_of(image) == (5, 7)


def test_packed_file_travels_as_its_own_bytes(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", colours(7, 5))
    image = bpy.data.images.load(str(path))
    image.pack()
    data = path.read_bytes()
    path.unlink()
    assert scene.source_of(image).encoded == data


def test_jpeg_travels_as_its_own_bytes(tmp_path: Path) -> None:
    image = generated(colours(24, 40))
    path = tmp_path / "a.jpg"
    image.file_format = "JPEG"
    image.filepath_raw = str(path)
    image.save()
    loaded = bpy.data.images.load(str(path))
    assert scene.source_of(loaded)().encoded == path.read_bytes()
    assert scene.size_of(loaded) == (40, 24)
    assert not loaded.has_data


def test_painted_image_travels_as_pixels_row_0_on_top(tmp_path: Path) -> None:
    wanted = colours(7, 5)
    image = bpy.data.images.load(str(write_png(tmp_path / "a.png", np.zeros_like(wanted))))
    image.pixels.foreach_set((wanted[::-1].astype(np.float32) / 255).ravel())
    assert image.is_dirty
    assert np.array_equal(pixels_of(scene.source_of(image)), wanted)


def test_generated_image() -> None:
    wanted = colours(7, 5)
    assert np.array_equal(pixels_of(scene.source_of(generated(wanted))), wanted)


def test_float_image_is_encoded_with_the_srgb_curve_and_unpremultiplied() -> None:
    linear = np.array(
        [[[0.0, 0.001, 0.0031308, 1.0], [0.18, 0.5, 1.0, 1.0]], [[2.0, -1.0, 0.2, 1.0], [0.09, 0.25, 0.5, 0.5]]],
        np.float32)
    wanted = [[[0, 3, 10, 255], [118, 188, 255, 255]], [[255, 0, 124, 255], [118, 188, 255, 128]]]
    assert pixels_of(scene.source_of(generated(linear, is_float=True))).tolist() == wanted


def test_sixteen_bit_png_is_read_as_displayed(tmp_path: Path) -> None:
    wanted = colours(6, 6)
    wanted[..., 3] = 255
    file = write_png(tmp_path / "deep.png", wanted[..., :3].astype(np.uint16) * 257)
    assert difference(pixels_of(scene.source_of(bpy.data.images.load(str(file)))), wanted) <= 1
    file = write_png(tmp_path / "alpha.png", wanted.astype(np.uint16) * 257)  # the engine reads it, with its colours
    assert scene.source_of(bpy.data.images.load(str(file)))().encoded == file.read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    values = np.zeros((4, 4, 4), np.float32)
    values[2, 1, 0] = bad
    image = generated(values, "broken bake", is_float=True)
    with pytest.raises(SourceUnusable, match="broken bake"):
        pixels_of(scene.source_of(image))


def test_non_color_image_is_taken_as_it_is() -> None:
    wanted = colours(5, 5)
    image = generated(wanted, space="Non-Color")
    assert np.array_equal(pixels_of(scene.source_of(image)), wanted)
    values = np.full((2, 2, 4), 0.5, np.float32)
    image = generated(values, is_float=True, space="Non-Color")
    assert pixels_of(scene.source_of(image))[0, 0].tolist() == [128, 128, 128, 128]


def test_other_colour_space_goes_through_blenders_colour_management(tmp_path: Path) -> None:
    raw = np.full((4, 4, 4), 255, np.uint8)
    raw[..., :3] = [46, 128, 255]  # 0.18, 0.5, 1 linear
    image = bpy.data.images.load(str(write_png(tmp_path / "linear.png", raw)))
    image.colorspace_settings.name = "Linear Rec.709"
    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_depth = "OPEN_EXR", "32"
    assert difference(pixels_of(scene.source_of(image)), np.tile(np.uint8([118, 188, 255, 255]), (4, 4, 1))) <= 1
    assert (settings.file_format, settings.color_depth) == ("OPEN_EXR", "32")


@pytest.mark.parametrize("mode", ["NONE", "CHANNEL_PACKED"])
def test_alpha_that_is_no_cover_becomes_opaque(tmp_path: Path, mode: str) -> None:
    wanted = colours(5, 6)
    image = bpy.data.images.load(str(write_png(tmp_path / "a.png", wanted)))
    image.alpha_mode = mode
    got = pixels_of(scene.source_of(image))
    assert np.array_equal(got[..., :3], wanted[..., :3]) and (got[..., 3] == 255).all()


def test_premultiplied_file_becomes_straight(tmp_path: Path) -> None:
    stored = np.tile(np.uint8([64, 32, 0, 128]), (4, 4, 1))
    image = bpy.data.images.load(str(write_png(tmp_path / "a.png", stored)))
    image.alpha_mode = "PREMUL"
    assert difference(pixels_of(scene.source_of(image)), np.tile(np.uint8([128, 64, 0, 128]), (4, 4, 1))) <= 1


def test_first_tile_of_a_tiled_image() -> None:
    image = bpy.data.images.new("tiles", 8, 8, tiled=True)
    with bpy.context.temp_override(edit_image=image):
        image.tiles.new(1002)
    assert scene.size_of(image) == pixels_of(scene.source_of(image)).shape[1::-1]


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    path = write_png(tmp_path / "gone.png", colours(4, 4))
    image = bpy.data.images.load(str(path))
    path.unlink()
    for ask in (scene.source_of, scene.size_of):
        with pytest.raises(SourceUnusable, match="gone.png"):
            ask(image)


def test_file_deleted_after_it_was_loaded_is_still_a_source(tmp_path: Path) -> None:
    wanted = colours(4, 4)
    path = write_png(tmp_path / "loaded.png", wanted)
    image = bpy.data.images.load(str(path))
    assert image.pixels[0] is not None  # loads
    path.unlink()
    assert np.array_equal(pixels_of(scene.source_of(image)), wanted)


def test_file_deleted_between_click_and_reading_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "soon gone.png", colours(4, 4))
    source = scene.source_of(bpy.data.images.load(str(path)))
    path.unlink()
    with pytest.raises(SourceUnusable, match="soon gone"):
        source()


def test_result_is_packed_and_carries_its_request(tmp_path: Path) -> None:
    wanted = colours(9, 8)
    made = result(tmp_path / "r.png", wanted, prompt="red   brick\nwall", seed=7)
    image = scene.load_result(made)
    assert not image.has_data, "it must not be decoded on the main thread"
    (tmp_path / "r.png").unlink()
    assert image.name == "red brick wall" and image.packed_file and image.colorspace_settings.name == "sRGB"
    assert image["ai_generated"]
    assert scene.request_of(image) == made.request
    assert np.array_equal(raw_pixels(image), wanted)


def test_a_result_that_could_not_be_written_is_packed_all_the_same(tmp_path: Path) -> None:
    wanted = colours(9, 8)
    made = Result("", Request(prompt="red brick", seed=7), 8, 9, wanted)
    image = scene.load_result(made)
    assert image.packed_file and image["ai_generated"] and scene.request_of(image) == made.request
    name = image.name
    scene.place(scene.new_image_target(), [image])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "f.blend"))
    image = bpy.data.images[name]
    assert image.colorspace_settings.name == "sRGB" and np.array_equal(raw_pixels(image), wanted)


def test_result_survives_saving_and_opening(tmp_path: Path) -> None:
    wanted = colours(9, 8)
    made = result(tmp_path / "r.png", wanted, prompt="a" * 200)
    image = scene.load_result(made)
    name = image.name
    scene.place(scene.new_image_target(), [image])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    (tmp_path / "r.png").unlink()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "f.blend"))
    image = bpy.data.images[name]
    assert np.array_equal(raw_pixels(image), wanted) and scene.request_of(image) == made.request
    assert len(name) <= 40


def test_missing_result_changes_nothing(tmp_path: Path) -> None:
    made = result(tmp_path / "r.png", colours(4, 4))
    (tmp_path / "r.png").unlink()
    before = len(bpy.data.images)
    with pytest.raises(SourceUnusable, match="r.png"):
        scene.load_result(made)
    assert len(bpy.data.images) == before


def test_request_from_a_png_that_was_dropped_into_blender(tmp_path: Path) -> None:
    request = Request(prompt="moss", seed=3)
    path = write_png(tmp_path / "dropped.png", colours(4, 4), {png.REQUEST_KEY: request.to_json()})
    image = bpy.data.images.load(str(path))
    assert scene.request_of(image) == request == scene.request_of(path)
    image.pack()
    path.unlink()
    assert scene.request_of(image) == request


def test_image_without_settings(tmp_path: Path) -> None:
    plain = bpy.data.images.load(str(write_png(tmp_path / "plain.png", colours(4, 4))))
    damaged = generated(colours(2, 2))
    damaged["blender_sd"] = "{not json"
    for image in (plain, damaged, generated(colours(2, 2)), tmp_path / "nothing.png"):
        with pytest.raises(InvalidRequest):
            scene.request_of(image)


def test_warming_up_leaves_no_trace() -> None:
    before = bpy.data.images.keys()
    scene.warm_up()
    assert bpy.data.images.keys() == before


def test_sources_of_scripts(tmp_path: Path) -> None:
    wanted = colours(6, 4)
    path = write_png(tmp_path / "s.png", wanted)
    for given in (wanted, wanted.astype(np.float64) / 255, path, str(path)):
        source, size = scene.open_source(given)
        assert size == (4, 6)
        assert np.array_equal(pixels_of(source), wanted)
    source, size = scene.open_source(wanted[..., :3])
    assert np.array_equal(pixels_of(source)[..., :3], wanted[..., :3]) and (pixels_of(source)[..., 3] == 255).all()
    source, size = scene.open_source(generated(wanted))
    assert size == (4, 6) and np.array_equal(pixels_of(source), wanted)


def test_pil_image_as_source() -> None:
    pil = pytest.importorskip("PIL.Image")
    wanted = colours(6, 4)
    assert np.array_equal(pixels_of(scene.array_source(pil.fromarray(wanted))), wanted)
    assert pixels_of(scene.array_source(pil.new("L", (3, 2), 9)))[0, 0].tolist() == [9, 9, 9, 255]


def test_path_of_another_format_is_read_by_blender(tmp_path: Path) -> None:
    image = generated(np.full((3, 5, 4), [0.18, 0.5, 1.0, 1.0], np.float32), is_float=True)
    bpy.context.scene.render.image_settings.file_format = "OPEN_EXR"
    # Image.save of 4.x encodes generated pixels as sRGB
    image.save_render(str(tmp_path / "a.exr"), scene=bpy.context.scene)
    before = set(bpy.data.images.keys())
    source, size = scene.open_source(tmp_path / "a.exr")
    assert size == (5, 3) and set(bpy.data.images.keys()) == before
    assert difference(pixels_of(source), np.tile(np.uint8([118, 188, 255, 255]), (3, 5, 1))) <= 1


@pytest.mark.parametrize("bad", [
    np.zeros(4, np.uint8), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.int64),
    np.full((4, 4, 3), np.nan), np.full((4, 4, 3), np.inf), 5, None, [[1, 2]]])
def test_unusable_sources_of_scripts(bad: object) -> None:
    with pytest.raises(SourceUnusable):
        scene.open_source(bad)


def test_unusable_paths(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    before = len(bpy.data.images)
    for path in (tmp_path / "missing.png", tmp_path / "text.png", tmp_path):
        with pytest.raises(SourceUnusable):
            scene.open_source(path)
    assert len(bpy.data.images) == before


def test_the_tests_own_png_writer() -> None:
    wanted = colours(5, 3)
    assert np.array_equal(decoded(png_bytes(wanted)), wanted)
