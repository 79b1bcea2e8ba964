"""Kept regions of sources with more than 8 bits: their own values in the result, and the way back from the display."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.core.errors import SourceUnusable
from blender_sd.core.regions import Region
from blender_sd.core.roles import LIGHT, LINEAR, PICTURE
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from blender_sd.engine.conditioning import sources
from blender_sd.engine.conditioning.view_inverse import scene_linear
from blender_sd.geometry import colours
from blender_sd.library.png import grey_png
from blender_sd.protocol import exr_files, light
from blender_sd.protocol.messages import Finished, Note, Source
from tests.support.engine import small
from tests.support.words import read_words

SIZE = 64


def curve(values):
    """A view transform in the manner of AgX: channels mix, exposure, and a shoulder."""
    mix = np.array([[0.86, 0.08, 0.06], [0.1, 0.82, 0.08], [0.09, 0.11, 0.8]], np.float32)
    bent = values @ mix.T * 1.4
    return (bent / (bent + 0.7)) ** (1 / 2.2)


def view():
    axis = light.samples()
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return np.rint(curve(grid) * 255).astype(np.uint8)


def test_displayed_colours_come_back_through_a_sampled_view():
    rng = np.random.default_rng(3)
    true = (2.0 ** rng.uniform(-6, 3, (40, 50, 1)) * rng.uniform(0.4, 1, (40, 50, 3))).astype(np.float32)
    shown = np.rint(curve(true) * 255).astype(np.uint8)
    back = scene_linear(shown, view())
    again = np.rint(curve(back) * 255)
    assert np.abs(again - shown).max() <= 4 and np.abs(again - shown).mean() < 0.6
    assert np.median(np.abs(back - true) / true) < 0.03


def test_srgb_comes_back_exactly_and_impossible_colours_come_near():
    shown = np.random.default_rng(4).integers(0, 256, (20, 20, 3), np.uint8)
    assert np.array_equal(colours.displayed(scene_linear(shown, None)), shown)
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)  # `curve` mixes channels, so it shows no pure red
    back = scene_linear(red, view())
    assert np.isfinite(back).all() and (back[..., 0] > back[..., 1] * 10).all()


def source(bits, with_view=False):
    rng = np.random.default_rng(5)
    if bits == light.SIXTEEN:
        values = np.ones((SIZE, SIZE, 4), np.float32)
        values[..., :3] = rng.integers(0, 65536, (SIZE, SIZE, 3)) / np.float32(65535)
        shown = np.rint(values * 255).astype(np.uint8)
    else:
        values = np.ones((SIZE, SIZE, 4), np.float32)
        values[..., :3] = rng.random((SIZE, SIZE, 3)) * 6
        shown = np.full((SIZE, SIZE, 4), 255, np.uint8)
        shown[..., :3] = np.rint(curve(values[..., :3]) * 255) if with_view else colours.displayed(values[..., :3])
    return light.Light(values, shown, view() if with_view else None, bits)


def restyled(run, sd, given, tmp_path, **changes):
    grey = np.zeros((SIZE, SIZE), np.uint8)
    grey[:, :24] = 255
    grey[:, 24] = 128
    inputs = {"source": Source(encoded=light.encoded(given)), "region0": Source(encoded=grey_png(SIZE, SIZE,
                                                                                                   grey.tobytes()))}
    settings = {"task": IMAGE_TO_IMAGE, "steps": 3, "strength": 0.9, "width": SIZE, "height": SIZE,
                "regions": (Region("mask", keep=True),), **changes}
    events = run(small(sd, **settings), inputs=inputs, output=str(tmp_path))
    return events, next(event for event in events if isinstance(event, Finished)).results


@pytest.mark.parametrize("with_view", [False, True])
def test_kept_regions_keep_their_light_and_the_rest_comes_back_from_what_is_shown(run, sd, tmp_path, with_view):
    given = source(light.FLOAT, with_view)
    _, results = restyled(run, sd, given, tmp_path)
    assert [result.role for result in results] == [PICTURE, LIGHT] and results[1].colour_space == LINEAR
    assert results[1].path == results[0].path.removesuffix(".png") + ".exr"
    with open(results[1].path, "rb") as file:
        data = file.read()
    assert exr_files.read_attributes(data)["colorSpace"] == b"Linear Rec.709"
    channels = exr_files.read_passes(data).channels
    made = np.stack([channels[name] for name in "RGB"], -1)
    assert np.array_equal(made[:, :24], given.values[:, :24, :3]) and made[:, :24].max() > 5
    with Image.open(results[0].path) as picture:
        shown = np.asarray(picture.convert("RGB"))
    assert np.array_equal(shown[:, :24], given.shown[:, :24, :3])
    back = np.rint(curve(made) * 255) if with_view else colours.displayed(made)
    off = np.abs(back[:, 25:].astype(int) - shown[:, 25:])
    assert off.max() == 0 if not with_view else np.median(off) <= 1
    assert np.isfinite(made).all() and not np.array_equal(made[:, 24], given.values[:, 24, :3])


def test_sixteen_bits_stay_sixteen_bits(run, sd, tmp_path):
    given = source(light.SIXTEEN)
    _, results = restyled(run, sd, given, tmp_path)
    assert [result.role for result in results] == [PICTURE]
    made = read_words(results[0].path)
    assert np.array_equal(made[:, :24], np.rint(given.values[:, :24, :3] * 65535).astype(np.uint16))
    assert (made[:, 25:] % 257 == 0).all() and len(np.unique(made[:, 25:])) > 20


def test_strength_0_returns_the_source_in_its_depth_and_another_size_is_said(run, sd, tmp_path):
    given = source(light.FLOAT)
    _, results = restyled(run, sd, given, tmp_path, strength=0.0)
    with open(results[1].path, "rb") as file:
        channels = exr_files.read_passes(file.read()).channels
    assert np.array_equal(channels["G"], given.values[..., 1])
    events, results = restyled(run, sd, given, tmp_path, width=80)
    assert len(results) == 1 and any("another size" in event.text for event in events if isinstance(event, Note))


def test_a_damaged_source_is_refused():
    data = light.encoded(source(light.FLOAT))
    assert sources.file_kind(data) == "exr"
    with pytest.raises(SourceUnusable, match="damaged"):
        sources.open_source(Source(encoded=data[:-500]))
