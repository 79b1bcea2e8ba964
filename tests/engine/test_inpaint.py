"""Inpaint, outpaint and make seamless: what is to stay stays bit for bit, and what is masked is painted."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.core.errors import InvalidRequest, SourceUnusable
from blender_sd.protocol.messages import Failed, Finished, Note, Source
from blender_sd.core.tasks import INPAINT, MAKE_SEAMLESS, OUTPAINT
from tests.support import tiny_models
from tests.support.engine import small


def pixels(width=96, height=80, seed=0):
    """Random opaque RGBA pixels with large features."""
    grid = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    colours = np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return np.dstack([colours, np.full((height, width), 255, np.uint8)])


def box(width=96, height=80, left=20, top=16, right=60, bottom=56):
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def picture(mask):
    return Source(pixels=np.dstack([np.where(mask, 255, 0).astype(np.uint8)] * 3
                                   + [np.full(mask.shape, 255, np.uint8)]))


def order(model, task=INPAINT, width=96, height=80, **changes):
    return small(model,
                 **{"task": task, "width": width, "height": height, "strength": 1.0, "feather": 4, **changes})


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("changes", [{}, {"full_res": True, "tile": 64, "context": 8}, {"grow": 3}, {"tiling": "xy"},  # noqa: E501
                                     {"strength": 0.5}])
@pytest.mark.parametrize("name", ["sd", "taesd", "sdxl"])
def test_only_the_masked_area_is_painted(request, run, name, changes):
    model = request.getfixturevalue(name)
    source, mask = pixels(), box()
    result = made(run(order(model, **changes), inputs={"source": Source(pixels=source), "mask": picture(mask)}))
    reach = box(left=17, top=13, right=63, bottom=59) if "grow" in changes else mask
    assert result.shape == (80, 96, 3) and np.array_equal(result[~reach], source[~reach][:, :3])
    assert (result[mask] != source[mask][:, :3]).any(1).mean() > 0.5


@pytest.fixture(scope="module")
def inpainting(models):
    return str(tiny_models.build_tiny_inpaint(models / "inpaint"))


def test_inpaint_checkpoints_see_the_mask(run, inpainting):
    source, mask = pixels(), box()
    inputs = {"source": Source(pixels=source), "mask": picture(mask)}
    result = made(run(order(inpainting), inputs=inputs))
    assert np.array_equal(result[~mask], source[~mask][:, :3]) and (result[mask] != source[mask][:, :3]).any()
    failed = run(small(inpainting))[-1]
    assert isinstance(failed, Failed) and failed.kind == InvalidRequest.kind and "only inpaint" in failed.message


def test_transparent_parts_are_painted_and_become_opaque(run, sd):
    source = pixels()
    source[box(), 3] = 0
    inputs = {"source": Source(pixels=source), "mask": Source(pixels=source)}
    result = made(run(order(sd, mask_kind="alpha"), inputs=inputs))
    assert result.shape[2] == 3 or (result[..., 3] == 255).all()
    assert np.array_equal(result[~box()][:, :3], source[~box()][:, :3])
    kept = source.copy()
    kept[:, :5, 3] = 40
    result = made(run(order(sd), inputs={"source": Source(pixels=kept), "mask": picture(box())}))
    assert (result[:, :5, 3] == 40).all() and (result[box()][:, 3] == 0).all()  # a white mask leaves alpha alone


def test_empty_full_and_foreign_masks(run, sd):
    source = pixels()
    inputs = {"source": Source(pixels=source), "mask": picture(np.zeros((80, 96), bool))}
    events = run(order(sd), inputs=inputs)
    assert np.array_equal(made(events), source[..., :3]) and "empty" in notes(events)[0]
    full = made(run(order(sd), inputs={"source": Source(pixels=source), "mask": picture(np.ones((80, 96), bool))}))
    assert full.shape == (80, 96, 3)
    events = run(order(sd),
                 inputs={"source": Source(pixels=source), "mask": picture(np.kron(box(), np.ones((2, 2), bool)))})
    assert made(events).shape == (80, 96, 3) and "brought to" in notes(events)[0]
    failed = run(order(sd), source=Source(pixels=source))[-1]
    assert isinstance(failed, Failed) and failed.kind == SourceUnusable.kind and "mask" in failed.message


def test_strength_0_gives_the_source(run, sd):
    inputs = {"source": Source(pixels=pixels()), "mask": picture(box())}
    assert np.array_equal(made(run(order(sd, strength=0.0), inputs=inputs)), pixels()[..., :3])
    assert "nothing to denoise" in notes(run(order(sd, strength=0.1), inputs=inputs))[0]


def test_a_mask_across_the_border_of_a_tile_is_one_area(run, sd):
    """A texture rolled together with its mask gives the result rolled: full resolution crops round the border."""
    source, mask = pixels(64, 64), box(64, 64, 24, 24, 40, 40)
    changes = {"width": 64, "height": 64, "full_res": True, "context": 8, "tile": 64, "tiling": "xy"}
    straight = made(run(order(sd, **changes), inputs={"source": Source(pixels=source), "mask": picture(mask)}))
    shift = (32, 32)
    rolled = made(run(order(sd, **changes), inputs={
        "source": Source(pixels=np.roll(source, shift, (0, 1))), "mask": picture(np.roll(mask, shift, (0, 1)))}))
    assert np.array_equal(np.roll(straight, shift, (0, 1)), rolled)


def test_outpaint_keeps_the_picture_in_its_place(run, sd):
    source = pixels()
    request = order(sd, OUTPAINT, 96 + 16 + 24, 80 + 8, left=16, right=24, bottom=8, overlap=4)
    result = made(run(request, source=Source(pixels=source)))
    assert result.shape == (88, 136, 3)
    assert np.array_equal(result[:76, 20:108], source[:76, 4:92, :3])
    assert result[:, :16].std() > 0 and result[84:].std() > 0
    failed = run(order(sd, OUTPAINT, 96, 80, left=90), source=Source(pixels=source))[-1]
    assert isinstance(failed, Failed) and failed.kind == InvalidRequest.kind and "margins" in failed.message


def test_outpaint_of_a_cut_out_is_opaque_outside(run, sd):
    source = pixels()
    source[..., 3] = 100
    result = made(run(order(sd, OUTPAINT, 112, 80, left=16, overlap=4), source=Source(pixels=source)))
    assert (result[:, :16, 3] == 255).all() and (result[:, 20:, 3] == 100).all()


@pytest.mark.parametrize("tiling", ["xy", "x"])
def test_make_seamless_paints_the_border_only(run, sd, tiling):
    source = pixels(64, 64)
    result = made(run(order(sd, MAKE_SEAMLESS, 64, 64, tiling=tiling, band=0.25), source=Source(pixels=source)))
    inner = (slice(8, 56) if "y" in tiling else slice(None), slice(8, 56))
    assert np.array_equal(result[inner], source[inner][..., :3])
    assert not np.array_equal(result[:, :8], source[:, :8, :3])
    if tiling == "x":
        return
    failed = run(order(sd, MAKE_SEAMLESS, 64, 64), source=Source(pixels=source))[-1]
    assert isinstance(failed, Failed) and "Tiling" in str(failed.hint)


@pytest.mark.slow
def test_make_seamless_takes_the_seam_away(engine):
    """The built-in model closes the seam of its own untiled pictures."""
    before, after = [], []
    for seed in range(8):
        plain = engine.generate("grey stone wall", seed=seed, steps=8, size=(64, 64))[0]
        mended = engine.make_seamless(plain, "grey stone wall", seed=seed, steps=8, guidance=3.0)[0]
        for picture, ratios in ((plain, before), (mended, after)):
            values = np.asarray(picture, np.float64)
            ratios.append(np.abs(values[:, 0] - values[:, -1]).mean() / np.abs(np.diff(values, axis=1)).mean())
    assert np.mean(before) > 1.5 and np.mean(after) < 1.25


def test_the_engine_alone(engine, sd):
    source = Image.fromarray(pixels()).convert("RGB")
    result = engine.inpaint(source, Image.fromarray(box()), "brick", model=sd, steps=2, seed=1)[0]
    assert np.array_equal(np.asarray(result)[~box()], np.asarray(source)[~box()]) and result.info["blender_sd"]
    assert engine.outpaint(source, "brick", left=8, model=sd, steps=2, seed=1)[0].size == (104, 80)
