"""The scale of pictures from words, and the built-in upscaler that adds the detail."""
from __future__ import annotations

import numpy as np
import pytest

from blender_sd.core.nets import STARTER
from blender_sd.engine.denoise.upscalers import Net
from blender_sd.library.checkpoints import STARTER_FOLDER
from blender_sd.protocol.messages import Source
from tests.support.engine import small
from tests.support.requests import as_sent
from tests.support.upscaling import opaque, order, pixels_of

pytestmark = pytest.mark.slow


def wall(**changes):
    return small(STARTER_FOLDER, tiling="xy", **changes)


@pytest.fixture
def passes(monkeypatch):
    """The sizes (height, width) of the pieces that the upscaler enlarges."""
    sizes, run = [], Net._run
    monkeypatch.setattr(Net, "_run", lambda self, pixels: sizes.append(tuple(pixels.shape[2:])) or run(self, pixels))
    return sizes


def test_a_scale_paints_small_and_adds_detail(run, passes):
    """The picture is that of the scale's own size, enlarged by the upscaler."""
    wanted = wall(width=256, height=256, scale=0.25, native=256, upscaler=STARTER)
    result = run(wanted)[-1].results[0]
    assert (result.width, result.height) == (256, 256) and as_sent(result.request) == wanted and len(passes) == 2
    first = pixels_of(run(wall())[-1].results[0])
    source = Source(pixels=np.dstack([first, np.full(first.shape[:2], 255, np.uint8)]))
    larger = order(STARTER_FOLDER, 256, 256, strength=0.0, upscaler=STARTER, tiling="xy")
    alone = run(larger, source=source)[-1].results[0]
    assert np.array_equal(pixels_of(result), pixels_of(alone))


def test_a_scale_that_asks_for_more_than_the_picture_paints_all_of_it(run, passes):
    plain = pixels_of(run(wall())[-1].results[0])
    scaled = pixels_of(run(wall(scale=1.0, native=256, upscaler=STARTER))[-1].results[0])
    assert np.array_equal(plain, scaled) and not passes


def test_any_shape_has_a_scale(run):
    result = run(wall(width=200, height=120, scale=0.25, native=256, upscaler=STARTER))[-1].results[0]
    assert pixels_of(result).shape[:2] == (120, 200)


def test_a_net_that_doubles_goes_over_its_own_result(run, passes):
    """Eight times takes three passes; a seam is as smooth as any other place."""
    waves = 128 + 60 * np.sin(np.arange(32) * 2 * np.pi / 16)
    pixels = np.repeat(((waves[None] + waves[:, None]) / 2)[..., None], 4, 2).astype(np.uint8)
    pixels[..., 3] = 255
    larger = order(STARTER_FOLDER, 256, 256, strength=0.0, upscaler=STARTER, tiling="xy")
    large = pixels_of(run(larger, source=Source(pixels=pixels))[-1].results[0])[..., :3].astype(int)
    assert [size[0] for size in passes] == [64, 96, 160]
    for axis in (0, 1):
        steps = np.abs(np.diff(large, axis=axis, append=large.take([0], axis))).mean(tuple({0, 1, 2} - {axis}))
        assert steps[-1] <= 1.2 * steps[:-1].max()


def test_the_last_little_is_resampled(run, passes):
    run(order(STARTER_FOLDER, 80, 60, strength=0.0, upscaler=STARTER), source=Source(pixels=opaque(32, 24)))
    assert len(passes) == 1


def test_detail_is_added(run):
    """More of the fine frequencies than resampling leaves."""
    first = pixels_of(run(wall())[-1].results[0])
    source = Source(pixels=np.dstack([first, np.full(first.shape[:2], 255, np.uint8)]))

    def fine(upscaler):
        made = pixels_of(run(order(STARTER_FOLDER, 128, 128, strength=0.0, upscaler=upscaler, tiling="xy"),
                             source=source)[-1].results[0])[..., :3].mean(2)
        power = np.abs(np.fft.fft2(made)) ** 2
        f = np.abs(np.fft.fftfreq(128))
        return power[np.maximum(f[:, None], f) > 0.25].sum()

    assert fine(STARTER) > 1.5 * fine("")
