"""Seeds as people and other programs have them: 0 to 2⁶⁴−1, −1 for a random one, numbers of numpy's."""
from __future__ import annotations

import numpy as np
import pytest

from blender_sd.core.errors import InvalidRequest
from blender_sd.core.common_settings import MAX_SEED
from blender_sd.core.request import PANEL_SEED, Request


@pytest.mark.parametrize("seed", [0, PANEL_SEED, PANEL_SEED + 1, 2**53 + 1, MAX_SEED, np.int64(7), np.uint64(MAX_SEED), np.int32(3)])  # noqa: E501
def test_seeds_are_kept_to_the_last_digit(seed):
    request = Request(seed=seed, variation_seed=seed)
    assert request.seed == int(seed) == request.variation_seed and type(request.seed) is int
    assert Request.from_json(request.to_json()) == request


def test_a_random_seed_is_drawn_when_the_request_is_made():
    requests = [Request(seed=-1) for _ in range(8)]
    assert len({one.seed for one in requests}) > 1 and all(0 <= one.seed <= PANEL_SEED for one in requests)
    assert Request.from_json(requests[0].to_json()) == requests[0]
    assert 0 <= Request(seed=np.int64(-1)).seed <= PANEL_SEED


@pytest.mark.parametrize("seed", [-2, MAX_SEED + 1, 1.5, "7", True, None, np.float64(2.0)])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InvalidRequest):
        Request(seed=seed)


def test_a_batch_goes_round_at_the_end():
    request = Request(seed=MAX_SEED, count=2)
    assert [request.single(index).seed for index in range(2)] == [MAX_SEED, 0]


def test_numbers_of_numpy_are_taken_in_every_field():
    assert Request(steps=np.int16(9), guidance=np.float32(4.5),
                   width=np.uint16(128)) == Request(steps=9, guidance=4.5, width=128)
