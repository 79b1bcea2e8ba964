"""The procedural maps that the estimator of materials is trained on: exact, wrapping, and honestly held out."""
from __future__ import annotations

import numpy as np
import pytest

from starter import physical


def test_held_out_families_are_never_trained_on():
    trained, held_out = set(physical.families(False)), set(physical.families(True))
    assert not trained & held_out
    assert sum(map(physical.is_metal, held_out)) >= 3 and sum(map(physical.is_metal, trained)) >= 3


@pytest.mark.parametrize("family", ["tiles", "painted metal", "woven wire"])
def test_maps_are_in_range_and_repeat(family):
    spec = physical.sample(np.random.default_rng(3), family)
    maps = physical.render(spec, 64)
    assert maps["base"].shape == (64, 64, 3) and maps["height"].shape == (64, 64)
    for name in ("base", "roughness", "metallic"):
        assert maps[name].min() >= 0 and maps[name].max() <= 1
    assert np.array_equal(physical.render(spec, 64)["height"], maps["height"])
    inside = np.abs(np.diff(maps["height"], axis=1)).mean()
    assert np.abs(maps["height"][:, 0] - maps["height"][:, -1]).mean() < 4 * inside + 0.05
    if family == "painted metal":
        assert 0 < (maps["metallic"] > 0.5).mean() < 1
