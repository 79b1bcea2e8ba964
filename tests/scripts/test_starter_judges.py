"""The two judges of the starter's pictures: their labels, what they are trained on, and that the lower score counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from starter import classifier, data, evaluate, materials, modifiers, palette  # noqa: E402
from starter.surface import TWO_COLOURS  # noqa: E402


def spec(family: str, **changes):
    return replace(materials.sample(np.random.default_rng(5), family), **changes)


def test_labels_leave_open_what_cannot_be_told_apart():
    material, colour, modifier = classifier.targets(spec("brick", colour="red", modifier="mossy"))
    assert materials.FAMILIES[material.argmax()] == "brick" and palette.NAMES[colour.argmax()] == "red"
    assert classifier.MODIFIERS[modifier.argmax()] == "mossy"
    assert [part.sum() for part in (material, colour, modifier)] == [1, 1, 1]
    pair = {"colour": "red", "second": "white"}
    for either in (spec("checker", **pair), spec("tiles", **pair, modifier=TWO_COLOURS)):
        shown = classifier.targets(either)[1]
        assert {palette.NAMES[index] for index in np.flatnonzero(shown)} == {"red", "white"}
    old = classifier.targets(spec("concrete", wear=2))[2]
    assert {classifier.MODIFIERS[index] for index in np.flatnonzero(old)} == {"", "cracked"}


def test_objects_are_masked_crops_of_the_pictures():
    pictures = torch.full((8, 3, 128, 128), 0.5)
    crops = classifier.objects(pictures, np.random.default_rng(1))
    outside = (crops == 0).all(1)
    assert crops.shape == (8, 3, 64, 64) and outside.flatten(1).any(1).sum() >= 5
    assert (~outside).flatten(1).float().mean(1).min() > 0.05
    assert crops.amin() >= -1 and crops.amax() <= 1
    assert torch.equal(outside, (classifier.masked(crops, ~outside[:, None]) == 0).all(1))


def test_a_judge_is_written_and_read_with_all_heads(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SETS", {"held": (4, 64, 1), "small": (31, 64, 2), "large": (31, 128, 3)})
    monkeypatch.setattr(classifier, "WEIGHTS", {1: tmp_path / "one.safetensors", 2: tmp_path / "two.safetensors"})
    monkeypatch.setattr(classifier, "_BATCH", 4)
    monkeypatch.setattr(materials, "render", lambda one, size: (np.zeros((size, size, 3)), np.zeros((size, size))))
    data.prepare(tmp_path / "data", lambda text: None, 1)
    assert not classifier.judges()
    classifier.train(tmp_path, 0.001, 2)
    assert len(classifier.judges()) == 1
    right = classifier.lowest(classifier.judges(), torch.zeros(2, 3, 64, 64), [spec("brick"), spec("tiles")])
    assert set(right) == set(classifier.HEADS)


def test_the_lower_judge_counts_and_modifiers_that_one_does_not_know_are_left_out(monkeypatch):
    """Judges are stand-ins here: each is the set of modifiers that it knows."""

    def score(judge, pictures, specs):
        knows = np.array([one.modifier in judge for one in specs])
        return dict.fromkeys(classifier.HEADS, knows)

    monkeypatch.setattr(classifier, "score", score)
    monkeypatch.setattr(data, "render_all", lambda specs, size: np.zeros((len(specs), 8, 8, 3), np.uint8))
    everything = {"", *modifiers.MODIFIERS}
    figures, bars, logged = {}, {}, []
    known = evaluate._judge_gates([everything, everything - {"wet"}], figures, bars, logged.append)
    assert known == [name for name in modifiers.MODIFIERS if name != "wet"]
    assert figures["judge_wet"] == 0.0 and figures["judge_mossy"] == 1.0 and figures["modifiers_left_out"] == 1
    assert "not know well enough: wet" in logged[0]
    assert bars["judges"]["holds"] and 0 < bars["judge_modifier"]["value"] < 1

    monkeypatch.setattr(evaluate, "generate", lambda pipe, prompts, size, **options: np.zeros((len(prompts), 8, 8, 3)))
    evaluate._modifier_gates(None, [everything, everything - {"mossy"}], known, figures, bars, logged.append)
    assert figures["modifier_mossy"] == 0.0 and figures["modifier_cracked"] == 1.0 and "modifier_wet" not in figures
    assert bars["modifier"]["value"] == pytest.approx(7 / 8) and bars["modifier"]["holds"]
