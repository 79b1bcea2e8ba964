"""The arithmetic of masks, against answers known by geometry."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.tasks import masks
from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.messages import Source


def disc(side=64, radius=12, centre=(32, 32)):
    y, x = np.mgrid[:side, :side]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def source(mask, alpha=255):
    grey = np.where(mask, 255, 0).astype(np.uint8)
    return Source(pixels=np.dstack([grey] * 3 + [np.broadcast_to(np.uint8(alpha), grey.shape)]))


def test_white_opaque_parts_are_masked():
    mask, note = masks.read(source(disc()), "white", (64, 64))
    assert np.array_equal(mask, disc()) and not note
    half = np.where(np.arange(64) < 32, 255, 0)[None].repeat(64, 0)
    assert np.array_equal(masks.read(source(disc(), half), "white", (64, 64))[0], disc() & (half > 0))


def test_transparent_parts_are_masked():
    alpha = np.where(disc(), 0, 255)
    assert np.array_equal(masks.read(source(disc(), alpha), "alpha", (64, 64))[0], disc())
    assert not masks.read(source(disc()), "alpha", (64, 64))[0].any()


def test_a_mask_of_another_size_is_resampled_with_a_note():
    mask, note = masks.read(source(disc()), "white", (128, 96))
    assert mask.shape == (96, 128) and "64 × 64" in note and "128 × 96" in note
    assert mask.mean() == pytest.approx(disc().mean(), rel=0.05)
    with pytest.raises(SourceUnusable):
        masks.read(None, "white", (64, 64))


@pytest.mark.parametrize("pixels", [5, -5])
def test_growing_moves_the_edge(pixels):
    radius = np.sqrt(masks.grown(disc(), pixels, "none").sum() / np.pi)
    assert radius == pytest.approx(12 + pixels, abs=0.6)


def test_growing_goes_round_the_border_of_a_tile():
    corner = disc(centre=(0, 0), radius=6)
    assert not masks.grown(corner, 4, "none")[-2:].any()
    grown = masks.grown(corner, 4, "xy")
    assert grown[-4, 0] and grown[0, -4] and not grown[-5, 0]
    rolled = masks.grown(np.roll(disc(), (20, 31), (0, 1)), 4, "xy")
    assert np.array_equal(rolled, np.roll(masks.grown(disc(), 4, "none"), (20, 31), (0, 1)))


def test_feather_lies_inside_the_mask():
    weight = masks.feathered(disc(), 6, "none")
    assert not weight[~disc()].any() and weight[disc()].min() > 0 and weight[32, 32] == 1
    row = weight[32, 20:33]
    assert (np.diff(row) >= 0).all() and row[0] < 0.2
    assert np.array_equal(masks.feathered(np.ones((8, 8), bool), 4, "none"), np.ones((8, 8), np.float32))


def test_filling_leaves_the_rest_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    flat = np.full((64, 64, 3), 90, np.uint8)
    flat[disc()] = 0
    assert np.array_equal(masks.filled(pixels, disc())[~disc()], pixels[~disc()])
    assert (masks.filled(flat, disc()) == 90).all()


def test_pasting_keeps_unmasked_bytes():
    rng = np.random.default_rng(0)
    below, above = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    out = np.asarray(masks.pasted(below, above, masks.feathered(disc(), 4, "none")))
    assert np.array_equal(out[~disc()], below[~disc()]) and np.array_equal(out[32, 32], above[32, 32])


@pytest.mark.parametrize("tiling", ["none", "x", "y", "xy"])
@pytest.mark.parametrize("shift", [(0, 0), (30, 0), (0, 30), (31, 33)])
def test_a_crop_holds_all_that_is_masked_and_goes_back(tiling, shift):
    mask = np.roll(disc(radius=5), shift, (0, 1))
    crop = masks.surroundings(mask, 3, tiling)
    assert crop.cut(mask).sum() == mask.sum() and crop.cut(mask).shape == (crop.height, crop.width)
    numbers = np.arange(64 * 64).reshape(64, 64)
    assert np.array_equal(crop.put(numbers, crop.cut(numbers)), numbers)
    assert (crop.put(np.zeros_like(numbers), np.ones((crop.height, crop.width)))[mask] == 1).all()
    if tiling == "xy":
        assert (crop.height, crop.width, crop.whole) == (17, 17, "")


def test_a_crop_of_everything_is_whole():
    crop = masks.surroundings(np.ones((20, 30), bool), 8, "xy")
    assert (crop.height, crop.width, crop.whole) == (20, 30, "xy")
    assert Image.fromarray(crop.cut(np.zeros((20, 30, 3), np.uint8))).size == (30, 20)
