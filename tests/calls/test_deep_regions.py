"""Kept regions of sources with more than 8 bits, from the source in Blender to the file of the result."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd.core.roles import LIGHT, PICTURE
from blender_sd.protocol import exr_files, png_arrays
from blender_sd.scene import compat, renders
from tests.support.calls import PATIENCE
from tests.support.words import read_words

pytestmark = pytest.mark.bpy
SIDE = 64


def results_of(sd, source, small, regions):
    return sd.restyle(source, "red brick", strength=0.9, regions=regions, target=lambda job: list(job.results),
                      **small).result(PATIENCE)


def left(sd):
    area = np.zeros((SIDE, SIDE), np.uint8)
    area[:, :24] = 255
    return sd.region(mask=area, keep=True)


def light_in(path):
    with open(path, "rb") as file:
        data = file.read()
    assert exr_files.read_attributes(data)["colorSpace"] == b"Linear Rec.709"
    channels = exr_files.read_passes(data).channels
    return np.stack([channels[name] for name in "RGB"], -1)


@pytest.fixture
def hdr(tmp_path):
    """The path of an OpenEXR file as Blender writes it, and its values, up to 6."""
    values = np.ones((SIDE, SIDE, 4), np.float32)
    values[..., :3] = np.random.default_rng(1).random((SIDE, SIDE, 3)) * 6
    path = tmp_path / "studio.exr"
    image = bpy.data.images.new("studio", SIDE, SIDE, float_buffer=True)
    image.pixels.foreach_set(values[::-1].ravel())
    image.filepath_raw, image.file_format = str(path), "OPEN_EXR"
    scene = bpy.context.scene
    settings = scene.render.image_settings
    compat.still_picture_settings(settings)
    settings.file_format, settings.color_mode = "OPEN_EXR", "RGBA"
    settings.color_depth, settings.exr_codec = "32", "ZIP"
    image.save_render(str(path), scene=scene)
    bpy.data.images.remove(image)
    return path, values[..., :3]


def test_an_openexr_file_keeps_its_light(sd, hdr, small):
    path, values = hdr
    shown, deep = results_of(sd, str(path), small, [left(sd)])
    assert (shown.role, deep.role) == (PICTURE, LIGHT)
    made = light_in(deep.path)
    assert np.array_equal(made[:, :24], values[:, :24]) and made[:, :24].max() > 5
    assert not np.array_equal(made[:, 24:], values[:, 24:]) and made[:, 25:].max() <= 1
    assert len(results_of(sd, str(path), small, [])) == 1  # nothing is kept: 8 bits, as ever


def test_the_light_comes_into_the_file_and_the_same_settings_give_it_again(sd, hdr, small):
    image = bpy.data.images.load(str(hdr[0]))
    job = sd.restyle(image, "red brick", strength=0.9, regions=[left(sd)], **small)
    picture, deep = job.result(PATIENCE)
    assert picture.colorspace_settings.name == "sRGB" and deep.colorspace_settings.name == "Linear Rec.709"
    assert deep.is_float and deep.packed_file
    made = light_in(job.results[1].path)
    assert np.array_equal(made[:, :24], hdr[1][:, :24])
    again = sd.run(sd.recall(picture))
    again.result(PATIENCE)
    assert np.array_equal(light_in(again.results[1].path), made)


def test_a_png_with_16_bits_keeps_them(sd, tmp_path, small):
    words = np.random.default_rng(2).integers(0, 65536, (SIDE, SIDE, 3), np.uint16)
    path = tmp_path / "fine.png"
    with open(path, "wb") as file:
        png_arrays.write(words, file)
    made, = results_of(sd, str(path), small, [left(sd)])
    assert np.array_equal(read_words(made.path)[:, :24], words[:, :24])
    assert not np.array_equal(read_words(made.path)[:, 25:], words[:, 25:])


@pytest.mark.parametrize("transform", ["Standard", "AgX"])
def test_a_render_of_a_scene_that_writes_openexr(sd, camera_scene, small, transform):
    scene = camera_scene(SIDE)
    bpy.context.object.name = "Bottle"
    scene.view_settings.view_transform, scene.cycles.samples = transform, 4
    scene.render.film_transparent = False
    compat.still_picture_settings(scene.render.image_settings)
    scene.render.image_settings.file_format = "OPEN_EXR"
    shown, deep = results_of(sd, "CAMERA", small, [sd.region("Bottle", keep=True)])
    assert scene.render.image_settings.file_format == "OPEN_EXR" and deep.role == LIGHT
    result = next(image for image in bpy.data.images if image.type == "RENDER_RESULT")
    passes = exr_files.read_passes(renders.passes_of(result, scene)).channels
    rendered = np.stack([passes[f"Combined.{name}"] for name in "RGB"], -1)
    made = light_in(deep.path)
    assert np.array_equal(made[28:36, 28:36], rendered[28:36, 28:36])
    assert np.isfinite(made).all() and not np.array_equal(made, rendered)
    assert not [image for image in bpy.data.images if image.name.startswith("blender_sd")]
