"""Variation seeds, and grids of pictures with their contact sheet."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine import Engine
from blender_sd.engine.output import contact_sheet
from blender_sd.protocol.messages import Finished, Source, Step
from blender_sd.core.parts import Axis
from tests.support.requests import as_sent
from tests.support.engine import small

pytestmark = pytest.mark.slow


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return [np.asarray(Image.open(result.path)) for result in events[-1].results]


def distance(one, other) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
def test_a_variation_leaves_the_picture_by_degrees(request, run, name):
    model = request.getfixturevalue(name)
    plain, = made(run(small(model)))
    moved = [
        made(run(small(model, variation_seed=99, variation_strength=strength)))[0] for strength in (0.0, 0.1, 0.5, 1.0)]
    far = [distance(plain, one) for one in moved]
    assert far[0] == 0 < far[1] < far[2]
    assert not np.array_equal(moved[3], plain)


def test_at_full_strength_it_is_the_other_seeds_picture(run, sd):
    other, = made(run(small(sd, seed=99, sampler="euler")))
    varied, = made(run(small(sd, seed=7, sampler="euler", variation_seed=99, variation_strength=1.0)))
    assert distance(other, varied) < 1


def test_a_source_can_be_varied_and_nothing_stays_behind(run, sd):
    source = Source(pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8))
    order = small(sd, task="image_to_image", strength=0.7)
    plain = made(run(order, source=source))
    varied = made(
        run(small(sd, task="image_to_image", strength=0.7, variation_seed=1, variation_strength=0.3, count=2),
            source=source))
    assert len({one.tobytes() for one in (*plain, *varied)}) == 3
    assert np.array_equal(plain, made(run(order, source=source)))


def test_a_grid_is_its_single_pictures_and_a_sheet(run, sd):
    order = small(sd, axes=(Axis("steps", "2, 3"), Axis("guidance", "1, 4, 7")))
    events = run(order)
    whole, *singles = made(events)
    assert len(singles) == 6
    for index, picture in enumerate(singles):
        assert np.array_equal(picture, made(run(order.single(index)))[0]), index
    assert as_sent(events[-1].results[0].request) == order
    assert as_sent(events[-1].results[3].request) == order.single(2)
    assert whole.shape[0] > 3 * 64 and whole.shape[1] > 2 * 64
    found = [
        (y, x) for y in range(whole.shape[0] - 63) for x in range(whole.shape[1] - 63)
        if np.array_equal(whole[y, x:x + 64], singles[3][0]) and np.array_equal(whole[y:y + 64, x:x + 64], singles[3])]
    assert len(found) == 1, "the fourth picture stands in the sheet: second row, second column"
    steps = [event for event in events if isinstance(event, Step)]
    assert {event.images for event in steps} == {6} and steps[-1].image == 6


def test_strength_changes_what_is_planned(run, sd):
    source = Source(pixels=np.full((64, 64, 4), 90, np.uint8))
    events = run(small(sd, task="image_to_image", axes=(Axis("strength", "0, 0.8"),)), source=source)
    _, kept, painted = made(events)
    assert np.array_equal(kept, source.pixels[..., :3]) or np.array_equal(kept, source.pixels)
    assert not np.array_equal(kept, painted)


def test_labels_have_room(sd):
    request = small(
        sd, prompt="a brick wall", count=2, axes=(Axis(
            "prompt",
            '"a brick wall", "a very long prompt about walls that were built of bricks long ago, wet with rain"'),
                                                  Axis("sampler", "euler, dpmpp_2m")))
    one = contact_sheet.Sheet(request)
    for shade in range(8):
        one.add(Image.new("RGB", (96, 40), (0, 0, 30 * shade)))
    picture = np.asarray(one.picture())
    assert picture.shape[1] > 4 * 96 and (picture[:30] == contact_sheet._INK).all(-1).any(), "labels above"
    cells = [np.argwhere((picture == (0, 0, 30 * shade)).all(-1)) for shade in range(8)]
    assert all(len(cell) == 96 * 40 for cell in cells), "no label covers a picture"


def test_engine_alone_gives_the_sheet_first(sd):
    with_axes = Engine(device="cpu", threads=1)._pictures(small(sd, axes=(Axis("steps", "1, 2"),)), {}, None)
    assert len(with_axes) == 3 and with_axes[0].width > with_axes[1].width == 64


def test_labels_of_any_length_make_no_larger_sheet():
    from PIL import Image

    from blender_sd.engine.output.contact_sheet import Sheet
    from blender_sd.core.parts import Axis
    from blender_sd.core.request import Request

    for value in ("x" * 5000, "x " * 2500):
        sheet = Sheet(Request(prompt="wall", axes=(Axis("prompt", f"wall, {value}"), Axis("prompt", f"wall, {value}"))))
        for _ in range(4):
            sheet.add(Image.new("RGB", (64, 64)))
        made = sheet.picture()
        assert made.width < 2000 and made.height < 2000
