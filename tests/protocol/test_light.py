"""OpenEXR files that we write, and sources of high depth in them."""
from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from blender_sd.protocol import exr_files, light


def values(height=37, width=29, channels=4, seed=1):
    return (np.random.default_rng(seed).random((height, width, channels)) * 8).astype(np.float32)


def written(array, **attributes):
    file = io.BytesIO()
    exr_files.write(array, file, attributes)
    return file.getvalue()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_written_file_gives_its_values_back(channels):
    array = values(channels=channels)
    array[:20] = 0.25  # so that some blocks pack well and others do not
    data = written(array, colorSpace="Linear Rec.709", other=b"\x00\x01")
    read = exr_files.read_passes(data).channels
    assert sorted(read) == sorted("RGBA"[:channels])
    for place, name in enumerate("RGBA"[:channels]):
        assert np.array_equal(read[name], array[..., place])
    attributes = exr_files.read_attributes(data)
    assert attributes["colorSpace"] == b"Linear Rec.709" and attributes["other"] == b"\x00\x01"
    assert len(data) < array.nbytes


def test_only_pictures_are_written():
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 2)), np.zeros((0, 4, 3))):
        with pytest.raises(ValueError, match="no picture"):
            written(wrong.astype(np.float32))


@pytest.mark.parametrize(("bits", "with_view"), [(light.FLOAT, False), (light.FLOAT, True), (light.SIXTEEN, False)])
def test_a_source_of_high_depth_travels_whole(bits, with_view):
    rng = np.random.default_rng(2)
    shown = rng.integers(0, 256, (37, 29, 4), np.uint8)
    side = len(light.samples())
    view = rng.integers(0, 256, (side, side, side, 3), np.uint8) if with_view else None
    data = light.encoded(light.Light(values(), shown, view, bits))
    assert light.is_light(data[:64]) and light.size_of(data[:64]) == (29, 37)
    read = light.read(data)
    assert np.array_equal(read.values, values()) and np.array_equal(read.shown, shown) and read.bits == bits
    assert (read.view is None) == (view is None) and (view is None or np.array_equal(read.view, view))


def test_other_files_and_damaged_ones_are_refused():
    plain = written(values())
    assert not light.is_light(plain) and light.size_of(plain) is None and light.size_of(b"") is None
    whole = light.encoded(light.Light(values(), np.zeros((37, 29, 4), np.uint8)))
    renamed = whole.replace(b"blender_sdBits", b"blender_sdBats")
    for data in (b"", plain, whole[:90], whole[:400], whole[:-200], renamed):
        with pytest.raises(ValueError):
            light.read(data)


def test_a_source_that_would_be_larger_than_it_says_is_not_unpacked():
    whole = light.encoded(light.Light(values(), np.zeros((37, 29, 4), np.uint8)))
    window = struct.pack("<4i", 0, 0, 28, 36)
    larger = whole.replace(window, struct.pack("<4i", 0, 0, 1 << 20, 1 << 20))
    assert larger != whole
    with pytest.raises(ValueError, match="damaged source"):
        light.read(larger)
    nested = written(values(), **{"cryptomatte/1/manifest": "[" * 200_000})
    with pytest.raises(ValueError):
        exr_files.read_header(nested)
