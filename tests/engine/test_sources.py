"""Sources as files: every usual form becomes the same 8-bit picture, every broken one a sentence."""
from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.conditioning import sources
from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.messages import Source


def encoded(image: Image.Image, form: str = "PNG", **options) -> Source:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Source(encoded=buffer.getvalue())


def ramp(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 24, channels), np.uint8)


def test_rgb_and_rgba_files_come_back_exactly():
    pixels = ramp(4)
    picture, alpha = sources.open_source(encoded(Image.fromarray(pixels)))
    assert np.array_equal(np.dstack([picture, alpha]), pixels)
    picture, alpha = sources.open_source(encoded(Image.fromarray(pixels[..., :3])))
    assert alpha is None and np.array_equal(picture, pixels[..., :3])


def test_an_alpha_of_255_everywhere_is_no_alpha():
    pixels = ramp(4)
    pixels[..., 3] = 255
    assert sources.open_source(Source(pixels=pixels))[1] is None


def test_colours_under_alpha_zero_survive_also_scaling():
    pixels = ramp(4)
    pixels[..., 3] = 0
    picture, alpha = sources.open_source(Source(pixels=pixels))
    picture, alpha = sources.resized(picture, alpha, (48, 40))
    assert picture.size == alpha.size == (48, 40) and np.asarray(picture).std() > 20 and not np.asarray(alpha).any()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    picture, _ = sources.open_source(encoded(Image.fromarray(values)))
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture)[..., 0], np.rint(values / 257).astype(np.uint8))


def test_sixteen_bit_colour_stays_within_one_level():
    values = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    picture, _ = sources.open_source(Source(encoded=data))
    assert np.abs(np.asarray(picture, int) - np.rint(values / 257)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA"])
def test_other_modes_become_rgb(mode):
    image = Image.fromarray(ramp(3)).convert("L").convert(mode) if mode in ("LA", "1") else Image.fromarray(
        ramp(3)).convert(mode)
    picture, alpha = sources.open_source(encoded(image, "TIFF" if mode == "CMYK" else "PNG"))
    assert picture.mode == "RGB" and picture.size == (24, 20) and alpha is None
    assert np.array_equal(np.asarray(picture), np.asarray(image.convert("RGB")))


def test_palette_transparency_becomes_alpha():
    image = Image.fromarray(ramp(3)).quantize(8)
    _, alpha = sources.open_source(encoded(image, transparency=0))
    assert set(np.unique(alpha)) == {0, 255}


def test_orientation_tags_are_ignored_as_blender_ignores_them():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, _ = sources.open_source(encoded(Image.fromarray(ramp(3)), "JPEG", exif=exif))
    assert picture.size == (24, 20)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "file is empty"), (b"not a picture", "no format that can be read"), (b"\x89PNG\r\n\x1a\n", "damaged"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "no format that can be read"),
    (encoded(Image.fromarray(ramp(3))).encoded[:400], "cut off"),
])
def test_broken_files_are_a_sentence(data, words):
    with pytest.raises(SourceUnusable, match=words) as caught:
        sources.open_source(Source(encoded=data))
    assert caught.value.hint


@pytest.mark.parametrize("size", [(1, 1), (15, 64), (64, 15), (8193, 16), (16384, 16)])
def test_sizes_out_of_bounds_name_the_bounds(size):
    for source in (encoded(Image.new("L", size)), Source(pixels=np.zeros((size[1], size[0], 4), np.uint8))):
        with pytest.raises(SourceUnusable, match="between 16 and 8192"):
            sources.open_source(source)


def test_a_bomb_is_refused_by_its_header_alone(monkeypatch):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(
        ">I", 0) + b"IDAT"
    with pytest.raises(SourceUnusable):
        sources.open_source(Source(encoded=data))


@pytest.mark.parametrize("pixels", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 2), np.uint8), np.zeros((20, 20, 4), np.float32)])  # noqa: E501
def test_arrays_that_are_no_pictures(pixels):
    with pytest.raises(SourceUnusable):
        sources.open_source(Source(pixels=pixels))


def test_nothing_at_all():
    for nothing in (None, Source()):
        with pytest.raises(SourceUnusable):
            sources.open_source(nothing)


def test_padding_repeats_the_border_or_wraps():
    pixels = ramp(3)[:18, :21]
    picture = Image.fromarray(pixels)
    edge, wrapped = (np.asarray(sources.padded(picture, 8, tiling)) for tiling in ("none", "x"))
    assert edge.shape == wrapped.shape == (24, 24, 3)
    assert np.array_equal(edge[:18, :21], pixels) and np.array_equal(edge[:18, 23], pixels[:, 20])
    assert np.array_equal(wrapped[:18, 21:], pixels[:, :3]) and np.array_equal(wrapped[23, :21], pixels[17])
    assert sources.padded(Image.new("RGB", (16, 24)), 8, "none").size == (16, 24)


def animated(first: Image.Image) -> Source:
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=[Image.new("RGB", first.size)])
    return Source(encoded=buffer.getvalue())


def test_gif_and_avif_are_read():
    red = Image.new("RGB", (32, 24), (250, 20, 30))
    assert np.abs(np.asarray(sources.open_source(animated(red))[0], int)
                  - (250, 20, 30)).max() <= 2, "the first of its pictures"
    if "AVIF" in Image.SAVE or Image.init() and "AVIF" in Image.SAVE:
        assert np.abs(np.asarray(sources.open_source(encoded(red, "AVIF", quality=95))[0], int)
                      - (250, 20, 30)).max() <= 12
        assert sources.file_kind(encoded(red, "AVIF").encoded) == "avif"


@pytest.mark.parametrize(("data", "words"), [
    (b"", "empty"), (b"<html>", "no format that can be read"), (b"%PDF-1.7", "no format"),
    (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"), (encoded(Image.fromarray(ramp(3))).encoded[:300], "cut off"),
    (encoded(Image.fromarray(ramp(3)), "JPEG").encoded[:400], "cut off|damaged"),
    (animated(Image.new("RGB", (32, 24))).encoded[:30], "cut off|damaged"),
])
def test_the_cause_is_named_where_no_picture_comes(data, words):
    if words == "HEIC" and sources._HEIC in sources._formats():
        pytest.skip("pillow-heif is installed")
    with pytest.raises(SourceUnusable, match=words) as caught:
        sources.open_source(Source(encoded=data))
    assert caught.value.hint


def test_floats_that_run_to_255_are_reported():
    with pytest.raises(SourceUnusable, match="floats up to 255"):
        sources.open_source(encoded(Image.fromarray(np.full((32, 32), 255, np.float32)), "TIFF"))
