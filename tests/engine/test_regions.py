"""Regions in the engine: kept pixels, edges without a halo, prompts and strengths of their own, in every family."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.core.errors import InvalidRequest
from blender_sd.core.regions import Region
from blender_sd.core.tasks import IMAGE_TO_IMAGE, INPAINT, TEXT_TO_IMAGE
from blender_sd.engine.conditioning import regions
from blender_sd.engine.denoise import regional_blending
from blender_sd.engine.denoise.shares import Shares
from blender_sd.engine.tasks import keeping
from blender_sd.geometry import colours
from blender_sd.library.models import read_model
from blender_sd.library.png import grey_png
from blender_sd.protocol.messages import Note, Source
from tests.support import tiny_models, tiny_transformers
from tests.support.engine import small
from tests.support.family_requests import SIZES, made, pixels

NAMES = [*tiny_models.BUILDERS, *tiny_transformers.BUILDERS]


def mask(size, rows, columns, soft=True):
    """A mask of a box, soft by one pixel on its left."""
    grey = np.zeros(size[::-1], np.uint8)
    grey[rows, columns] = 255
    if soft:
        grey[rows, columns.start] = 127
    return Source(encoded=grey_png(*size, grey.tobytes()))


@pytest.fixture
def painted(run, families):
    """Paints with the tiny model `name`; `given` holds each region with its mask."""
    def paint(name, task, given, **changes):
        settings = {"task": task, "steps": 3, "guidance": 4.0, "sampler": "euler", "width": SIZES[task][0],
                    "height": SIZES[task][1], **({"strength": 0.9} if task == IMAGE_TO_IMAGE else {}), **changes}
        inputs = {"source": Source(pixels=pixels())} if task == IMAGE_TO_IMAGE else {}
        inputs |= {f"region{number}": source for number, (_, source) in enumerate(given)}
        return run(small(families(name), regions=tuple(region for region, _ in given), **settings), inputs=inputs)

    return paint


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_family_keeps_and_prompts_regions_and_says_how(painted, families, name):
    family = read_model(families(name)).abilities
    size = SIZES[IMAGE_TO_IMAGE]
    kept = Region("object", "Bottle", keep=True), mask(size, slice(10, 40), slice(8, 30))
    words = Region("material", "Wood", prompt="a very red thing"), mask(size, slice(20, 60), slice(36, 70))
    if IMAGE_TO_IMAGE in family.tasks or INPAINT in family.tasks:
        events = painted(name, IMAGE_TO_IMAGE, [kept, words])
        result = made(events)
        assert np.array_equal(result[10:40, 9:30], pixels()[10:40, 9:30, :3])
        assert not np.array_equal(result[10:40, 31:], pixels()[10:40, 31:, :3])
        ways = [text for text in notes(events) if text.startswith("The prompts of regions")]
        assert len(ways) == 1 and ("masks" in ways[0]) == (not family.transformer)
        without = made(painted(name, IMAGE_TO_IMAGE, [kept]))
        assert not np.array_equal(without[25:55, 40:66], result[25:55, 40:66])
    if TEXT_TO_IMAGE in family.tasks:
        size = SIZES[TEXT_TO_IMAGE]
        plain = made(painted(name, TEXT_TO_IMAGE, []))
        half = Region("mask", prompt="a very red thing"), mask(size, slice(0, 48), slice(0, size[0]))
        assert not np.array_equal(plain[:40], made(painted(name, TEXT_TO_IMAGE, [half]))[:40])
        whole = Region("mask", prompt="a very red thing"), Source(pixels=np.full((*size[::-1], 4), 255, np.uint8))
        alone = made(painted(name, TEXT_TO_IMAGE, [], prompt="a very red thing"))
        assert np.abs(made(painted(name, TEXT_TO_IMAGE, [whole])).astype(int) - alone).mean() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "z_image", "qwen_image"])
def test_a_weaker_region_stays_closer_to_the_source(painted, families, name):
    size = SIZES[IMAGE_TO_IMAGE]
    area = mask(size, slice(0, size[1]), slice(0, 40))
    source = pixels()[..., :3].astype(int)
    strong = made(painted(name, IMAGE_TO_IMAGE, [], steps=6))
    weak = made(painted(name, IMAGE_TO_IMAGE, [(Region("mask", strength=0.17), area)], steps=6))
    none = made(painted(name, IMAGE_TO_IMAGE, [(Region("mask", strength=0.0), area)], steps=6))
    left = np.s_[8:62, 8:24]
    far, near, nearest = (np.abs(picture[left] - source[left]).mean() for picture in (strong, weak, none))
    assert nearest < near * 1.02 and near < far  # the tiny autoencoders alone change much
    also = made(painted(name, IMAGE_TO_IMAGE, [(Region("mask", strength=0.9), area)], steps=6, strength=0.0))
    right = np.s_[8:62, 52:70]
    assert np.abs(also[right] - source[right]).mean() < np.abs(strong[right] - source[right]).mean()


def picture_of(colour, size=(64, 64)):
    return np.full((*size, 3), colour, np.uint8)


def test_a_kept_edge_shows_nothing_of_the_old_background():
    yy, xx = np.mgrid[:64, :64]
    share = np.clip(20.5 - np.hypot(xx - 32, yy - 32), 0, 1).astype(np.float32)
    thing, old, new = (colours.linear(picture_of(colour))[..., :3]
                       for colour in ((200, 40, 30), (240, 240, 250), (10, 30, 20)))
    part = share[..., None]

    def mixed(behind):
        return colours.displayed(thing * part + behind * (1 - part))

    layout = regions.Layout(kept=np.rint(share * 255).astype(np.uint8))
    result = np.asarray(keeping.over(Image.fromarray(mixed(old)), Image.fromarray(picture_of((10, 30, 20))), layout))
    assert np.array_equal(result[share == 1], mixed(old)[share == 1])
    band = (share > 0) & (share < 1)
    assert np.abs(result[band].astype(int) - mixed(new)[band]).mean() < 2
    naive = old * (1 - part) * part + thing * part ** 2 + new * (1 - part)
    assert np.abs(colours.displayed(naive)[band].astype(int) - mixed(new)[band]).mean() > 10  # the halo that is avoided


def test_the_edge_of_an_object_before_nothing_is_the_objects_own_colour():
    yy, xx = np.mgrid[:64, :64]
    share = np.rint(np.clip(20.5 - np.hypot(xx - 32, yy - 32), 0, 1) * 255).astype(np.uint8)
    source = np.where(share[..., None] > 0, picture_of((200, 40, 30)), 0).astype(np.uint8)  # straight alpha
    layout = keeping.within_alpha(regions.Layout(kept=share), Image.fromarray(share))
    result = np.asarray(keeping.over(Image.fromarray(source), Image.fromarray(picture_of((10, 30, 20))), layout))
    assert np.array_equal(result[share > 0], source[share > 0])
    behind = np.full_like(share, 255)  # an opaque source is mixed by coverage as before
    assert np.array_equal(keeping.within_alpha(regions.Layout(kept=share), Image.fromarray(behind)).kept, share)


def test_a_feather_lets_the_source_fade_out_and_keeps_what_is_kept():
    share = np.zeros((64, 64), np.uint8)
    share[20:40, 20:40] = 255
    fade = regions._faded(None, share, 7)
    layout = regions.Layout(kept=share, fade=fade)
    result = np.asarray(keeping.over(Image.fromarray(picture_of(200)), Image.fromarray(picture_of(50)), layout))[..., 0]
    assert (result[20:40, 20:40] == 200).all() and (result[:10] == 50).all()
    outwards = result[30, 40:50].astype(int)
    assert outwards[0] > 150 and (np.diff(outwards) <= 0).all() and outwards[-1] == 50


def laid_out(given, size=(64, 48)):
    inputs = {f"region{number}": source for number, (_, source) in enumerate(given)}
    request = small("starter", regions=tuple(region for region, _ in given), width=size[0], height=size[1])
    return regions.lay_out(request, inputs, size, size)


def test_the_more_specific_region_wins_and_nothing_counts_twice():
    size, everywhere = (64, 48), mask((64, 48), slice(0, 48), slice(0, 64), soft=False)
    box = mask(size, slice(8, 40), slice(8, 40), soft=False)
    found = laid_out([(Region("collection", "All", prompt="c"), everywhere),
                      (Region("material", "Wood", prompt="m"), box), (Region("object", "Cup", keep=True), box)])
    assert found.numbers == (0,) and (found.kept[8:40, 8:40] == 255).all()
    assert found.maps[0][2:10, 2:10].max() == 0 and found.maps[0][:, 10:].min() == 1
    assert any("cover all of the material 'Wood'" in note for note in found.notes)
    nothing = mask(size, slice(0, 0), slice(0, 1))  # the scene leaves out what belongs to the object
    laid = laid_out([(Region("material", "Wood", prompt="m"), nothing), (Region("object", "Cup", keep=True), box)])
    assert laid.notes == ("Nothing of the material 'Wood' is seen outside more specific regions, so its own changes "
                           "nothing.",)


def test_regions_that_show_nothing_or_little_are_said_and_others_still_count():
    size, nothing = (64, 48), mask((64, 48), slice(0, 0), slice(0, 1))
    speck = mask(size, slice(4, 5), slice(50, 53))
    half = mask(size, slice(0, 48), slice(0, 32))
    found = laid_out([(Region("object", "Hidden", prompt="x"), nothing), (Region("object", "Far", prompt="y"), speck),
                      (Region("mask", prompt="z"), half)])
    assert [note for note in found.notes if "Nothing of the object 'Hidden' is seen" in note]
    assert [note for note in found.notes if "pixels of the object 'Far'" in note]
    assert found.numbers == (2, 1) and found.maps.sum(0).max() <= 1


def test_a_mask_of_another_size_is_brought_to_the_picture_and_another_shape_is_said():
    larger = laid_out([(Region("mask", keep=True), mask((128, 96), slice(0, 96), slice(64, 128), soft=False))])
    assert larger.kept.shape == (48, 64) and not larger.kept[:, :31].any() and (larger.kept[:, 33:] == 255).all()
    assert not larger.notes
    other = laid_out([(Region("mask", keep=True), mask((50, 50), slice(0, 50), slice(0, 50)))])
    assert other.notes == ("A mask has another shape than the picture and was stretched to it.",)


@pytest.mark.slow
def test_two_hundred_regions_are_painted(painted):
    size = SIZES[IMAGE_TO_IMAGE]
    given = [(Region("mask", prompt=f"thing number {number}"), mask(size, slice(number % 70, number % 70 + 4),
                                                                     slice(number // 3, number // 3 + 6)))
             for number in range(200)]
    assert made(painted("sd", IMAGE_TO_IMAGE, given, steps=1, strength=1.0)).shape == (70, 77, 3)


def test_blended_prompts_follow_the_schedulers_steps():
    """Some pipelines tell of no steps, and schedulers of the second order take two for each of the artist's."""
    class Net(torch.nn.Module):
        def forward(self, hidden_states, encoder_hidden_states):
            return hidden_states + encoder_hidden_states.mean()

    class Scheduler:
        order = 2

        def step(self, value):
            return value

    net, scheduler, shares = Net(), Scheduler(), Shares(torch.ones(1, 2, 2), (2, 2))
    words = [[{(0, 0): {"encoder_hidden_states": torch.full((1, 1, 1), value)}} for value in (1.0, 2.0)]]
    seen = []
    with regional_blending.blended(net, scheduler, words, shares, None):
        for _ in range(4):
            answer = net(torch.zeros(1, 1, 2, 2), encoder_hidden_states=torch.zeros(1, 1, 1))
            seen.append(float(scheduler.step(answer).mean()))
    assert seen == [1.0, 1.0, 2.0, 2.0]
    assert not vars(scheduler) and "forward" not in vars(net)


def test_everything_kept_and_missing_masks(painted):
    size = SIZES[IMAGE_TO_IMAGE]
    whole = Source(pixels=np.full((*size[::-1], 4), 255, np.uint8))
    events = painted("sd", IMAGE_TO_IMAGE, [(Region("mask", keep=True), whole)])
    assert np.array_equal(made(events), pixels()[..., :3]) and any("Everything" in text for text in notes(events))


def test_regions_by_arrays_in_plain_python(engine):
    source = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    area = np.zeros((64, 64), np.uint8)
    area[:, :32] = 255
    result = np.asarray(engine.restyle(source, "grass", strength=0.8, steps=3, seed=1,
                                       regions=[(Region("mask", keep=True), area)])[0])
    assert np.array_equal(result[:, :32], source[:, :32]) and not np.array_equal(result[:, 33:], source[:, 33:])
    with pytest.raises(InvalidRequest, match="kept"):
        engine.generate("grass", size=(64, 64), regions=[(Region("mask", keep=True), area)])
    with pytest.raises(InvalidRequest, match="regions"):
        engine.inpaint(source, area, "grass", regions=[])


def test_a_kept_region_has_no_prompt():
    for wrong in ({"keep": True, "prompt": "x"}, {"keep": True, "strength": 0.5}):
        with pytest.raises(InvalidRequest, match="kept"):
            Region("mask", **wrong)
    with pytest.raises(InvalidRequest, match="needs a name"):
        Region("object")
