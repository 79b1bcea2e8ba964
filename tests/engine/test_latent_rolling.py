"""Rolled transformers: what they see lies elsewhere at each step, and nobody else notices."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from blender_sd.engine.denoise import painting
from blender_sd.engine.denoise.latent_rolling import Rolling, rolled
from tests.support.engine import small

GRID = (4, 6)


def rolling_by(shift, tiling="xy"):
    found = Rolling(tiling, GRID, 0)
    found.shift = shift
    return found


@pytest.mark.parametrize("value", [
    torch.randn(2, 3, *GRID), torch.randn(2, 3, 1, *GRID), [torch.randn(3, 1, *GRID)] * 2, torch.randn(2, 24, 5), torch.randn(1, 31, 5),  # noqa: E501
], ids=["latents", "video-shaped", "list", "tokens", "tokens and more"])
def test_rolling_back_is_the_inverse(value):
    there = rolling_by((1, 2)).roll(value)
    again = rolling_by((1, 2)).roll(there, back=True)
    parts = list(zip(again, value, there, strict=True)) if isinstance(value, list) else [(again, value, there)]
    for same, original, moved in parts:
        assert torch.equal(same, original) and not torch.equal(moved, original)


def test_tokens_are_rolled_as_the_picture_they_are():
    picture = torch.arange(24.0).reshape(1, 1, *GRID)
    tokens = torch.cat([picture.reshape(1, 24, 1), torch.full((1, 3, 1), 99.0)], 1)
    moved = rolling_by((1, -2)).roll(tokens)
    assert torch.equal(moved[:, :24].reshape(1, 1, *GRID), torch.roll(picture, (1, -2),
                                                                      (2, 3))) and torch.all(moved[:, 24:] == 99)


@pytest.mark.parametrize("tiling", ["x", "y", "xy"])
def test_distances_are_drawn_along_the_tiling_axes_only(tiling):
    one, same = Rolling(tiling, GRID, 5), Rolling(tiling, GRID, 5)
    assert one.shift == (0, 0)
    seen = []
    for _ in range(40):
        one.next_step(), same.next_step()
        assert one.shift == same.shift
        seen.append(one.shift)
    rows, columns = zip(*seen, strict=True)
    assert set(rows) == (set(range(4)) if "y" in tiling else {0})
    assert set(columns) == (set(range(6)) if "x" in tiling else {0})


class PlaceTeller(torch.nn.Module):
    """Adds to every place its own number, as position embeddings do."""

    def forward(self, hidden_states, return_dict=True):
        return (hidden_states + torch.arange(24.0).reshape(GRID),)


def test_the_callers_see_nothing_of_it_but_the_places():
    net, value = PlaceTeller(), torch.randn(1, 1, *GRID)
    with rolled(net, rolling_by((0, 0))):
        assert torch.equal(net(value)[0], net(hidden_states=value)[0])
    with rolled(net, rolling_by((1, 2))):
        expected = value + torch.roll(torch.arange(24.0).reshape(GRID), (-1, -2), (0, 1))
        assert torch.allclose(net(value)[0], expected) and torch.allclose(net(hidden_states=value)[0], expected)
    assert torch.equal(net(value)[0], value + torch.arange(24.0).reshape(GRID))


def test_a_transformer_paints_tiles_from_other_places_each_step(engine, sd3, monkeypatch):
    def painted(tiling):
        return np.asarray(
            engine.generate("brick", seed=3, steps=4, size=(64, 64), model=sd3, sampler="euler", tiling=tiling)[0])

    plain, tiled = painted("none"), painted("xy")
    assert np.array_equal(tiled, painted("xy")) and not np.array_equal(tiled, plain)
    monkeypatch.setattr(painting.Rolling, "next_step", lambda self: None)
    assert not np.array_equal(painted("xy"), tiled)
    monkeypatch.undo()
    assert np.array_equal(painted("none"), plain)


def test_a_cancelled_picture_leaves_no_hook(run, engine, sd3):
    run(small(sd3, sampler="euler", tiling="xy"), cancelled=iter([False] * 6 + [True] * 99).__next__)
    denoiser = engine._load(sd3).denoiser
    assert not denoiser._forward_hooks and not denoiser._forward_pre_hooks


class Net(torch.nn.Module):
    """Says what it was given, as a ControlNet does."""

    def forward(self, x, t, cap_feats, control_context, conditioning_scale=1.0):
        return x, control_context


def test_controlnets_see_the_same_places_and_their_answer_stays_rolled():
    rolling, net = rolling_by((1, 2)), Net()
    latents, picture = torch.randn(1, 3, *GRID), torch.randn(1, 3, 8 * GRID[0], 8 * GRID[1])
    words = torch.randn(1, *GRID)
    with rolled(PlaceTeller(), rolling, (net,)):
        seen, control = net(latents, 0, words, control_context=picture)
    assert torch.equal(seen, torch.roll(latents, (1, 2),
                                        (2, 3))) and torch.equal(control, torch.roll(picture, (8, 16), (2, 3)))
    assert torch.equal(net(latents, 0, words, picture)[0], latents)


def test_a_picture_of_the_same_size_beside_it_is_rolled_with_it():
    tokens = torch.randn(1, 48, 5)
    both = rolling_by((1, 2)).roll(tokens)
    assert torch.equal(both[:, 24:], rolling_by((1, 2)).roll(tokens[:, 24:]))
