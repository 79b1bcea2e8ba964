"""Seed Walk: variations of a picture that go further from one to the next."""
from __future__ import annotations

import numpy as np
from PIL import Image

from blender_sd.core.request import Request
from blender_sd.core.tasks import SEED_WALK
from blender_sd.protocol.messages import Source
from tests.support.engine import small
from tests.support.requests import as_sent


def test_each_picture_is_further_on_the_way_and_can_be_repeated_alone(run, sd):
    source = Source(pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8) | np.uint8([0, 0, 0, 255]))
    walk = small(sd, task=SEED_WALK, strength=1.0, walk=1.0, count=4, variation_seed=99)
    results = run(walk, source=source)[-1].results
    pictures = [np.asarray(Image.open(result.path).convert("RGB"), float) for result in results]
    start = run(walk.changed(walk=0.0, count=1), source=source)[-1].results[0]
    first = np.asarray(Image.open(start.path).convert("RGB"), float)
    away = [np.abs(picture - first).mean() for picture in pictures]
    assert away == sorted(away) and away[0] > 0, away
    assert [as_sent(result.request) for result in results] == [walk.single(number) for number in range(4)]
    alone = run(results[2].request, source=source)[-1].results[0]
    assert np.array_equal(np.asarray(Image.open(alone.path).convert("RGB"), float), pictures[2])


def test_the_steps_of_the_way():
    walk = Request.of(SEED_WALK, walk=0.8, count=4, seed=3, variation_seed=9)
    singles = [walk.single(number) for number in range(4)]
    assert [round(single.variation_strength, 6) for single in singles] == [0.2, 0.4, 0.6, 0.8]
    assert {(single.seed, single.variation_seed, single.count) for single in singles} == {(3, 9, 1)}
    assert [single.single(0) for single in singles] == singles
