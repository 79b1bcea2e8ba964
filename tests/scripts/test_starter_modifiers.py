"""Modifiers of the starter's materials: they change what is drawn, wrap, and leave plain materials as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from starter import captions, data, materials, modifiers
from starter.surface import TWO_COLOURS

# The renders of one spec of each family as they were before there were modifiers, weighted by noise.
BEFORE = {
    "brick": 0.8311, "stone wall": 0.2040, "cobblestone": 0.1043, "gravel": 0.5437, "tiles": 0.4846,
    "mosaic": 1.4507, "hexagons": 0.1898, "planks": 1.1627, "wood": 0.3225, "parquet": 0.5011, "marble": 1.1035,
    "terrazzo": 0.5175, "plaster": 0.8056, "concrete": 0.5683, "rust": 0.0755, "metal": 0.6586,
    "tread plate": 0.2412, "leather": 0.3102, "grass": 0.2681, "sand": 0.1325, "snow": 0.8562, "water": 0.4608,
    "lava": -0.1741, "fabric": 0.5646, "knit": 0.6453, "plaid": 0.5299, "checker": 1.5221, "stripes": 0.9990,
    "dots": 0.3647, "camouflage": 0.2103, "scales": 0.8891,
}  # fmt: skip
PAIRS = [(name, family) for name, families in modifiers.FAMILIES.items() for family in families[::3]]


def spec(family: str, modifier: str = "", seed: int = 5):
    plain = materials.sample(np.random.default_rng(seed), family)
    return materials.with_modifier(plain, modifier, np.random.default_rng(seed)) if modifier else plain


def test_plain_materials_are_drawn_as_before():
    weights = np.random.default_rng(0).standard_normal((48, 48, 4))
    drawn = {}
    for family in materials.FAMILIES:
        picture, height = materials.render(spec(family, seed=11), 48)
        drawn[family] = float((weights * np.dstack([picture, height])).sum() / 48)
    assert drawn == pytest.approx(BEFORE, abs=2e-3)


@pytest.mark.parametrize(("modifier", "family"), PAIRS)
def test_a_modifier_shows_wraps_and_is_deterministic(modifier, family):
    changed = spec(family, modifier)
    picture, height = materials.render(changed, 64)
    assert picture.shape == (64, 64, 3) and picture.dtype == height.dtype == np.float32
    assert 0.0 <= min(picture.min(), height.min()) and max(picture.max(), height.max()) <= 1.0
    assert np.array_equal(picture, materials.render(changed, 64)[0])
    plain = replace(changed, modifier="", colour=changed.second if modifier == "painted" else changed.colour)
    assert np.abs(picture - materials.render(plain, 64)[0]).mean() > 0.02, "it cannot be seen"
    for axis in (0, 1):
        inside = np.abs(np.diff(picture, axis=axis)).mean((1 - axis, 2))
        border = np.abs(np.take(picture, 0, axis) - np.take(picture, -1, axis)).mean()
        assert border < 1.5 * inside.max()


@pytest.mark.parametrize(("modifier", "strong", "weak"), [("mossy", 1, 0), ("snowy", 2, 0), ("painted", 2, 0)])
def test_moss_snow_and_paint_lie_rather_in_the_joints_of_red_bricks_than_on_top(modifier, strong, weak):
    plain = replace(spec("brick", seed=8), pixels=25.0, wear=1, colour="red", second="red")
    changed = replace(plain, modifier=modifier, colour="blue" if modifier == "painted" else "red")
    picture, height = materials.render(changed, 128)[0], materials.render(plain, 128)[1]
    covered = picture[..., strong] > picture[..., weak]
    assert 0.15 < covered.mean() < 0.95
    assert covered[height < 0.4].mean() > covered[height > 0.8].mean() + 0.1


def test_water_darkens_and_two_colours_are_both_there():
    plain = replace(spec("tiles"), colour="blue", second="yellow", wear=0)
    dry, wet = (materials.render(replace(plain, modifier=modifier), 96)[0] for modifier in ("", "wet"))
    assert np.median(wet) < 0.85 * np.median(dry)
    blue = [(picture[..., 2] > picture[..., 0] + 0.1).mean() for picture in (
        dry, materials.render(replace(plain, modifier=TWO_COLOURS), 96)[0])]
    assert blue[0] > 0.7 and 0.25 < blue[1] < 0.6


def test_two_colours_have_the_pieces_of_one():
    plain = replace(spec("hexagons"), pixels=30.0)
    heights = [materials.render(replace(plain, modifier=modifier), 64)[1] for modifier in ("", TWO_COLOURS)]
    assert np.array_equal(*heights)


def test_sets_have_modified_pictures_and_the_others_are_the_same():
    some = [data.spec_of("held", index) for index in range(310)]
    none = [data.spec_of("held", index, 0.0) for index in range(310)]
    assert not any(one.modifier for one in none)
    assert {one.modifier for one in some} == {"", *modifiers.MODIFIERS}
    assert 0.2 < np.mean([bool(one.modifier) for one in some]) < 0.5
    assert all(a == b for a, b in zip(some, none, strict=True) if not a.modifier)
    assert all(one.family in modifiers.FAMILIES[one.modifier] for one in some if one.modifier)
    held = data.modified_specs(4)
    assert [one.modifier for one in held] == [*modifiers.MODIFIERS] * 4


def test_captions_name_the_modifier_and_their_words_are_known():
    rng, known = np.random.default_rng(2), set(captions.vocabulary())
    for one in data.modified_specs(20):
        text = captions.caption(one, rng)
        assert {word.strip(",") for word in text.split()} <= known, text
        before, after = captions.MODIFIER_WORDS[one.modifier]
        colours = one.modifier == TWO_COLOURS and " and " in text
        assert colours or any(phrase in text for phrase in (*before, *after)), text
        plain = captions.canonical(one)
        assert one.modifier in plain or f"{one.colour} and {one.second}" in plain
    tiles = replace(spec("tiles", TWO_COLOURS), colour="blue", second="white", wear=1, size="medium")
    assert captions.canonical(tiles) == "blue and white tiles, seamless texture"


def test_no_word_stands_for_a_modifier_and_for_something_else():
    phrases = captions.phrases()
    of_modifiers = {phrase for same in phrases.pop("condition") for phrase in same}
    others = {phrase for groups in phrases.values() for same in groups for phrase in same}
    assert not of_modifiers & others
