"""Picture files, PIL images, arrays and image datablocks of every kind as sources: the same picture, or the cause why
not."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import SourceUnusable
from blender_sd.library import encoded
from tests.support import png_bytes

Image = pytest.importorskip("PIL.Image")
RAMP = np.tile(np.linspace(0, 1, 64), (32, 1))
EIGHT = np.rint(RAMP * 255).astype(np.uint8)
DEEP = np.rint(RAMP * 65535).astype(np.uint16)


def opened(source):
    """The grey of `source` as the engine would see it."""
    found, size = scene.open_source(source)
    made = found() if callable(found) else found
    assert size == (64, 32)
    if made.pixels is not None:
        return made.pixels
    from blender_sd.engine.conditioning import sources  # needs no torch

    picture, alpha = sources.open_source(made)
    return np.dstack([np.asarray(picture), np.full((32, 64), 255, np.uint8) if alpha is None else np.asarray(alpha)])


FILES = {
    "grey.png": Image.fromarray(EIGHT),
    "deep.png": Image.fromarray(DEEP),
    "alpha.png": Image.fromarray(EIGHT).convert("LA"),
    "palette.png": Image.fromarray(EIGHT).convert("P"),
    "grey.gif": Image.fromarray(EIGHT),
    "grey.tif": Image.fromarray(EIGHT),
    "deep.tif": Image.fromarray(DEEP),
    "grey.bmp": Image.fromarray(EIGHT),
    "grey.webp": Image.fromarray(EIGHT).convert("RGB"),
    "grey.avif": Image.fromarray(EIGHT).convert("RGB"),
    "grey.jpg": Image.fromarray(EIGHT),
    "cmyk.jpg": Image.fromarray(EIGHT).convert("CMYK"),
    "cmyk.tif": Image.fromarray(EIGHT).convert("CMYK"),
    "float.tif": Image.fromarray(RAMP.astype(np.float32)),
    "one bit.png": Image.fromarray(EIGHT > 127),
    "with alpha.webp": Image.merge("RGBA", [Image.fromarray(EIGHT)] * 4),
    "animated.webp": Image.fromarray(EIGHT).convert("RGB"),}


@pytest.mark.parametrize("name", FILES)
def test_a_file_means_what_its_pil_image_means(tmp_path, name):
    lossy = {"quality": 98} if name.endswith((".jpg", ".webp", ".avif")) else {}
    lossy |= {"exact": True} if "alpha" in name else {}
    lossy |= {"save_all": True, "append_images": [Image.new("RGB", (64, 32))]} if "animated" in name else {}
    try:
        FILES[name].save(tmp_path / name, **lossy)
    except (KeyError, OSError):
        pytest.skip("this Pillow does not write it")
    room = 6 if lossy else 1
    assert np.abs(opened(str(tmp_path / name)).astype(int) - opened(FILES[name])).max() <= room
    if not name.endswith((".gif", ".avif")):  # which Blender does not read
        image = bpy.data.images.load(str(tmp_path / name))
        assert np.abs(opened(image).astype(int) - opened(FILES[name])).max() <= room
        bpy.data.images.remove(image)


@pytest.mark.parametrize(("name", "data", "words"), [
    ("empty.png", b"", "is empty"), ("page.png", b"\n<!DOCTYPE html><html>", "a web page"),
    ("a.jpg", b"8BPS\0\1", "a Photoshop document"),
    ("a.svg", b"<svg xmlns=''>", "an SVG drawing"), ("film.png", b"\0\0\0\x20ftypisom", "a video"),
    ("a.png", b"PK\x03\x04", "a ZIP archive"),
    ("lfs.png", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"), ("odd.png", b"\x01\x02\x03\x04" * 20, "cannot be read"),  # noqa: E501
    ("a.ppm", b"P6 64 32 255\n" + bytes(64 * 32 * 3), "cannot be read"),
])
def test_the_real_cause_is_named(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceUnusable, match=words) as caught:
        scene.open_source(str(tmp_path / name))
    assert caught.value.hint


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_with_and_without_alpha(tmp_path, channels):
    deep = np.dstack([DEEP, *[DEEP[:, ::-1]] * (channels - 1)])
    (tmp_path / "a.png").write_bytes(png_bytes.deep(64, 32, deep.astype(">u2").tobytes(), channels))
    image = bpy.data.images.load(str(tmp_path / "a.png"))
    for source in (str(tmp_path / "a.png"), Image.open(tmp_path / "a.png"), image):
        assert np.abs(opened(source).astype(int) - opened(deep)).max() <= 1, "also where it is transparent"
    bpy.data.images.remove(image)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(SourceUnusable, match="is a folder"):
        scene.open_source(str(tmp_path))


def test_a_mask_of_whole_numbers_is_yes_and_no():
    for kind in (np.int64, np.uint8, bool):
        mask = np.eye(32, dtype=kind)
        assert np.array_equal(scene.open_mask(mask, (32, 32)).pixels[..., 0], np.eye(32, dtype=np.uint8) * 255)


def test_headers_of_what_blender_does_not_read():
    assert encoded.read_header(b"GIF89a" + b"\x40\0\x20\0" + b"\0" * 20) == encoded.Header(64, 32, True)
    box = b"ispe" + b"\0" * 4 + (64).to_bytes(4, "big") + (32).to_bytes(4, "big")
    small = b"ispe" + b"\0" * 4 + (8).to_bytes(4, "big") + (8).to_bytes(4, "big")
    assert encoded.read_header(b"\0\0\0\x18ftypavif" + small + box + small) == encoded.Header(64, 32, True)
    assert encoded.read_header(b"\0\0\0\x18ftypheic" + box[:9]) is None
