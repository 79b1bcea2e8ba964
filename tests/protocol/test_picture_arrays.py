"""Arrays and PIL images of every kind become the same picture as their files."""
from __future__ import annotations

import io

import numpy as np
import pytest

from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.picture_arrays import pixels_of

Image = pytest.importorskip("PIL.Image")
RAMP = np.linspace(0, 1, 32 * 32).reshape(32, 32)
EIGHT = np.rint(RAMP * 255).astype(np.uint8)
DEEP = np.rint(RAMP * 65535).astype(np.uint16)


@pytest.mark.parametrize("obj", [
    EIGHT, EIGHT[..., None], np.dstack([EIGHT] * 3), DEEP, DEEP.astype(">u2"), np.dstack([DEEP] * 3), RAMP,
    RAMP.astype(np.float16),
    RAMP.astype(np.float32)[..., None], Image.fromarray(EIGHT), Image.fromarray(DEEP), Image.fromarray(DEEP.astype(np.int32)),  # noqa: E501
    Image.fromarray(RAMP.astype(np.float32)), Image.fromarray(EIGHT).convert("RGB"), Image.fromarray(EIGHT).convert("P"),  # noqa: E501
    Image.fromarray(EIGHT).convert("LA"), Image.fromarray(EIGHT).convert("CMYK"), Image.fromarray(EIGHT).convert("YCbCr"),  # noqa: E501
    Image.fromarray(EIGHT).convert("RGBX"), Image.frombytes("I;16B", (32, 32), DEEP.astype(">u2").tobytes()),
], ids=lambda obj: f"{obj.dtype}{obj.shape}" if isinstance(obj, np.ndarray) else obj.mode)
def test_grey_is_the_same_grey_however_it_is_held(obj):
    made = pixels_of(obj)
    assert made.shape == (32, 32, 4) and made.dtype == np.uint8 and (made[..., 3] == 255).all()
    assert np.abs(made[..., :3].astype(int) - EIGHT[..., None]).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                                  "LAB", "HSV", "I", "I;16", "F"])
def test_every_mode_of_pil_is_read(mode):
    assert pixels_of(Image.new(mode, (20, 16))).shape == (16, 20, 4)


def test_alpha_is_kept_wherever_it_is_held():
    alpha = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    grey = np.full((16, 16), 77, np.uint8)
    for obj in (np.dstack([grey, alpha]), np.dstack([grey] * 3 + [alpha]),
                Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]),
                np.dstack([grey, alpha]).astype(np.uint16) * 257, np.dstack([grey, alpha]) / 255):
        made = pixels_of(obj)
        assert np.array_equal(made[..., 3], alpha) and (made[..., :3] == 77).all()
    palette = Image.new("P", (16, 16), 1)
    palette.info["transparency"] = 1
    assert not pixels_of(palette)[..., 3].any()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_pil_image_is_what_its_file_is(form):
    from blender_sd.engine.conditioning import sources
    from blender_sd.protocol.messages import Source

    for image in (Image.fromarray(DEEP), Image.fromarray(EIGHT).convert("P"), Image.fromarray(EIGHT).convert("LA"),
                  Image.fromarray(EIGHT)):
        buffer = io.BytesIO()
        image.save(buffer, form)
        picture, _ = sources.open_source(Source(encoded=buffer.getvalue()))
        assert np.array_equal(np.asarray(picture), pixels_of(image)[..., :3])


@pytest.mark.parametrize(("obj", "words", "hint"), [
    (np.full((8, 8, 3), 200.0), "floats up to 200", "Divide it by 255"),
    (Image.new("F", (8, 8), 128.0), "floats up to 128", "Divide it by 255"),
    (np.full((8, 8), 4e4), "floats up to 40000",
                           "Divide it by 65535"), (np.zeros((8, 8), np.int64), "holds int64", "Give uint8"),
    (np.full((8, 8), np.nan), "NaN", "Repair"), (np.zeros((2, 2, 2, 2)), "shape", "height × width"), (np.zeros((0, 8)), "shape", ""),  # noqa: E501
    (np.zeros((8, 8, 5)), "shape", ""), (np.zeros((8, 8), complex), "complex128", ""),
])
def test_what_is_no_picture_is_refused_with_its_cause(obj, words, hint):
    with pytest.raises(SourceUnusable, match=words) as caught:
        pixels_of(obj)
    assert hint in caught.value.hint


def test_bright_spots_of_a_render_are_clipped_and_no_error():
    render = np.full((16, 16, 3), 0.5)
    render[:4] = 40.0
    assert pixels_of(render)[0, 0].tolist() == [255] * 4 and pixels_of(render)[8, 8].tolist() == [128] * 3 + [255]
