"""Tiles: every pixel is covered, and what is cut comes back."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.denoise.tiles import Axis, Blend, OVERLAP, Tiles, enlarged


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize(("length", "tile", "multiple"), [
    (512, 256, 8), (100, 64, 8), (64, 64, 8), (65, 64, 8), (17, 256, 8), (1000, 512, 64), (129, 128, 16), (4096, 512, 8),  # noqa: E501
])
def test_every_pixel_is_covered_with_enough_overlap(length, tile, multiple, wraps):
    axis = Axis.split(length, tile, multiple, wraps)
    assert axis.tile % multiple == 0 and axis.tile <= max(tile, multiple) and len(set(axis.starts)) == len(axis.starts)
    covered = np.zeros(length, int)
    for start in axis.starts:
        np.add.at(covered, axis.places(start)[:length], 1)
    assert covered.min() >= 1
    if not axis.whole:
        ends = [start + axis.tile for start in axis.starts]
        following = [*axis.starts[1:], axis.starts[0] + length] if wraps else axis.starts[1:]
        assert all(end - start >= axis.tile // OVERLAP - 1 for end, start in zip(ends, following, strict=False))
        assert wraps or (axis.starts[0] == 0 and ends[-1] == length)


@pytest.mark.parametrize("tiling", ["none", "x", "y", "xy"])
@pytest.mark.parametrize("size", [(200, 120), (64, 150), (50, 40)])
def test_cutting_and_blending_gives_the_picture_back(size, tiling):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    tiles = Tiles.of(size, 64, 8, tiling)
    blend = Blend(tiles)
    for place in tiles.places:
        tile = tiles.cut(pixels, place)
        assert tile.size == tiles.size
        blend.add(tile, place)
    assert np.array_equal(np.asarray(blend.picture()), pixels)


def test_neighbouring_tiles_of_other_colours_meet_without_a_step():
    tiles = Tiles.of((160, 64), 64, 8, "x")
    blend = Blend(tiles)
    for number, place in enumerate(tiles.places):
        blend.add(Image.new("RGB", (64, 64), (200 * (number % 2),) * 3), place)
    row = np.asarray(blend.picture())[32, :, 0].astype(int)
    assert row.min() < 20 and row.max() > 180
    assert np.abs(np.diff(np.append(row, row[0]))).max() <= 200 / (64 / OVERLAP) + 3


def test_a_tile_alone_on_an_axis_wraps_by_itself():
    assert Tiles.of((64, 200), 64, 8, "xy").tiling == "x"
    assert Tiles.of((200, 200), 64, 8, "xy").tiling == "none"
    assert Tiles.of((64, 64), 64, 8, "xy").tiling == "xy"
    assert Tiles.of((64, 64), 64, 8, "none").tiling == "none"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_enlarging_reaches_round_the_border(mode):
    wave = np.rint(127 + 100 * np.sin(np.arange(32) * 2 * np.pi / 32 * 3)).astype(np.uint8)
    pixels = np.tile(wave[None], (16, 1))
    picture = Image.fromarray(pixels if mode == "L" else np.repeat(pixels[..., None], 3, 2))
    shifted = Image.fromarray(np.roll(np.asarray(picture), 8, axis=1))
    one, other = (np.asarray(enlarged(image, (64, 32), "x")).astype(int) for image in (picture, shifted))
    assert np.abs(np.roll(one, 16, axis=1) - other).max() <= 1
    bare = np.asarray(enlarged(picture, (64, 32), "none")).astype(int)
    assert np.abs(bare - one).max() > 3 and enlarged(picture, (64, 32), "none").size == (64, 32)
