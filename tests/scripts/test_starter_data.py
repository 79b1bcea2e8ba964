"""The starter model's training data: materials that wrap, captions that vary. numpy only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from starter import captions, fields, materials, palette, regularity


def spec(family: str, seed: int = 5):
    return materials.sample(np.random.default_rng(seed), family)


def seam(image: np.ndarray) -> float:
    """Mean step across the wrap over the largest mean step between neighbouring lines inside, worst of both axes."""
    ratios = []
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        inside = np.abs(np.diff(lines, axis=0)).reshape(len(lines) - 1, -1).mean(1).max()
        ratios.append(np.abs(lines[0] - lines[-1]).mean() / max(inside, 1e-4))
    return max(ratios)


def test_at_least_24_families_each_with_captions():
    assert len(materials.FAMILIES) >= 24
    assert set(captions.NOUNS) == set(materials.FAMILIES)


@pytest.mark.parametrize("family", materials.FAMILIES)
def test_family_wraps_and_is_deterministic(family):
    worst = []
    for seed in range(4):
        one = spec(family, seed)
        rgb, height = materials.render(one, 96)
        assert rgb.shape == (96, 96, 3) and rgb.dtype == np.float32
        assert height.shape == (96, 96) and height.dtype == np.float32
        assert 0.0 <= rgb.min() and rgb.max() <= 1.0 and 0.0 <= height.min() and height.max() <= 1.0
        assert rgb.std() > 0.008, "a blank picture teaches nothing"
        worst.append(seam(rgb))
    again, _ = materials.render(one, 96)
    assert np.array_equal(rgb, again)
    assert max(worst) < 1.3, "the border stands out more than any line inside"


def test_seam_measure_notices_a_cut():
    rgb, _ = materials.render(spec("marble"), 128)
    assert seam(np.clip(rgb + np.linspace(0.0, 0.5, 128)[:, None, None], 0, 2)) > 2.0


def test_other_seed_other_picture():
    one = spec("mosaic")
    first, second = (materials.render(replace(one, seed=seed), 64)[0] for seed in (1, 2))
    assert np.abs(first - second).mean() > 0.02


@pytest.mark.parametrize("family", ["tiles", "checker"])
def test_feature_size_is_in_pixels_not_in_picture_widths(family):
    one = replace(spec(family), pixels=16.0, wear=0)

    def period(size: int) -> float:
        rows = materials.render(one, size)[0].mean(-1).mean(0) if family == "tiles" else materials.render(
            one, size)[0][4, :, 0]
        spectrum = np.abs(np.fft.rfft(rows - rows.mean()))
        return size / (1 + int(spectrum[1:].argmax()))

    assert period(64) == pytest.approx(period(192), rel=0.1)


def test_noise_has_unit_deviation_and_blur_keeps_the_mean():
    field = fields.noise(np.random.default_rng(0), 64, 8.0)
    assert abs(field.mean()) < 1e-3 and field.std() == pytest.approx(1.0, rel=1e-3)
    assert fields.blur(field + 2.0, 3.0).mean() == pytest.approx(2.0, abs=1e-3)
    assert fields.blur(field, 3.0).std() < 0.9


def test_lab_of_known_colours():
    assert palette.lab(np.array([1.0, 1.0, 1.0])) == pytest.approx([100.0, 0.0, 0.0], abs=0.05)
    assert palette.lab(np.array([1.0, 0.0, 0.0])) == pytest.approx([53.24, 80.09, 67.20], abs=0.1)


def test_captions_vary_and_use_synonyms():
    rng = np.random.default_rng(0)
    one = replace(spec("brick"), colour="red")
    texts = [captions.caption(one, rng) for _ in range(400)]
    assert len(set(texts)) > 200
    assert any("crimson" in text for text in texts) and any("bricks" in text for text in texts)
    assert not any("  " in text or text.startswith(",") for text in texts)


def test_captions_name_the_asked_size_and_wear_only():
    rng = np.random.default_rng(1)
    one = replace(spec("tiles"), size="large", wear=2)
    words = {word.strip(",") for _ in range(300) for word in captions.caption(one, rng).split()}
    assert {"large", "old"} <= words
    assert not words & {"tiny", "clean", "pristine", "worn", "mossy"}


def test_every_caption_word_is_in_the_vocabulary():
    rng = np.random.default_rng(2)
    known = set(captions.vocabulary())
    for _ in range(600):
        text = captions.caption(materials.sample(rng), rng)
        assert {word.strip(",") for word in text.split()} <= known, text


@pytest.mark.slow
@pytest.mark.parametrize("pattern", regularity.PATTERNS)
def test_regularity_falls_as_jitter_grows(pattern):
    ordered = regularity.specs(pattern, 4)
    pictures = [materials.render(one, 128)[0] for one in ordered]
    scores = []
    for amount in (0.0, 0.05, 0.1, 0.2, 0.4):
        rng = np.random.default_rng(3)
        moved = [
            regularity.jittered(picture, one.pixels, amount, rng)
            for picture, one in zip(pictures, ordered, strict=True)]
        scores.append(regularity.score(np.stack(moved), ordered))
    assert scores[0] == pytest.approx(1.0) and all(low < high for high, low in zip(scores, scores[1:], strict=False))


def test_blur_does_not_make_a_broken_pattern_regular():
    ordered = regularity.specs("brick", 4)
    broken, blurred = [], []
    for one in ordered:
        broken.append(regularity.jittered(materials.render(one, 128)[0], one.pixels, 0.3, np.random.default_rng(3)))
        blurred.append(np.stack([fields.blur(broken[-1][..., channel], 2.0) for channel in range(3)], -1))
    assert regularity.score(np.stack(blurred), ordered) < regularity.score(np.stack(broken), ordered) + 0.2 < 0.5
