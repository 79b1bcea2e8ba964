"""Group norms by region: each part is normalised as if the picture showed nothing else."""
from __future__ import annotations

import pytest
import torch

from blender_sd.engine.denoise import regional_norms
from blender_sd.engine.denoise.shares import Shares

SIDE = 32


def halves(soft=False):
    maps = torch.zeros(1, SIDE, SIDE)
    maps[0, :, SIDE // 2:] = 1
    if soft:
        maps[0, :, SIDE // 2] = 0.5
    return Shares(maps, (SIDE, SIDE)).with_rest()


@pytest.fixture
def norm():
    made = torch.nn.GroupNorm(4, 8)
    torch.manual_seed(1)
    with torch.no_grad():
        made.weight.normal_(1, 0.2), made.bias.normal_()
    return made


@torch.no_grad()
def by_region(norm, value, shares):
    with regional_norms.by_region([norm], shares):
        return norm(value)


def two_parts(loud):
    value = torch.randn(2, 8, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) + 3
    value[..., SIDE // 2:] *= loud
    return value


@torch.no_grad()
def test_one_region_over_everything_is_the_plain_norm(norm):
    whole = Shares(torch.ones(1, SIDE, SIDE), (SIDE, SIDE)).with_rest()
    value = two_parts(2)
    assert torch.allclose(by_region(norm, value, whole), norm(value), atol=1e-4)
    tokens = value.flatten(2)
    assert torch.allclose(by_region(norm, tokens, whole), norm(tokens), atol=1e-4)


@torch.no_grad()
def test_a_calm_region_is_not_scaled_by_a_lively_one(norm):
    value = two_parts(3)
    alone = norm(value[..., :SIDE // 2])
    mine, plain = by_region(norm, value, halves())[..., :SIDE // 2], norm(value)[..., :SIDE // 2]
    assert (mine - alone).abs().mean() < 0.2 * (plain - alone).abs().mean()
    tokens = by_region(norm, value.flatten(2), halves()).unflatten(2, (SIDE, SIDE))
    assert torch.allclose(tokens[..., :SIDE // 2], mine, atol=1e-5)


@torch.no_grad()
def test_soft_edges_mix_what_their_regions_make(norm):
    value = two_parts(3)
    hard, soft = (by_region(norm, value, halves(soft)) for soft in (False, True))
    edge = SIDE // 2
    other = by_region(norm, value, Shares(halves().maps.flip(0)[:1], (SIDE, SIDE)).with_rest())  # the parts exchanged
    assert torch.allclose(other, hard, atol=1e-4)
    assert not torch.allclose(soft[..., edge], hard[..., edge], atol=1e-2)
    far = torch.cat([soft[..., :edge - 4], soft[..., edge + 4:]], -1)
    assert (far - torch.cat([hard[..., :edge - 4], hard[..., edge + 4:]], -1)).abs().mean() < 0.2


@torch.no_grad()
def test_a_region_of_nothing_and_half_precision_give_numbers(norm):
    maps = torch.zeros(2, SIDE, SIDE)
    maps[0, 3, 3] = 1
    value = two_parts(300)
    made = by_region(norm.half(), value.half(), Shares(maps, (SIDE, SIDE)).with_rest())
    assert made.dtype == torch.float16 and made.isfinite().all()


def test_what_is_no_picture_and_what_comes_later_is_normalised_as_before(norm):
    value = torch.randn(2, 8, 7)
    assert torch.equal(by_region(norm, value, halves()), norm(value))
    with pytest.raises(RuntimeError, match="stop"), regional_norms.by_region([norm], halves()):
        raise RuntimeError("stop")
    assert "forward" not in vars(norm)
    with regional_norms.by_region([torch.nn.LayerNorm(8), object()], halves()):
        pass


@torch.no_grad()
def test_a_net_that_is_given_twice_is_left_as_it_was(norm):
    value = two_parts(3)
    once = by_region(norm, value, halves())
    with regional_norms.by_region([norm, norm], halves()):
        assert torch.equal(norm(value), once)
    assert "forward" not in norm.__dict__


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_a_region_has_a_factor_and_a_summand_of_its_own_once(norm, layout):
    value = two_parts(3).contiguous(memory_format=layout)
    change = torch.zeros(2, 2, 16)  # regions × batch × factors and summands
    change[1, :, :8], change[1, :, 8:] = 0.5, 2.0
    with regional_norms.by_region([norm], halves()) as norms:
        plain = norm(value)
        norms.modulate(norm, change)
        made, after = norm(value), norm(value)
    assert made.is_contiguous(memory_format=layout)
    assert torch.allclose(made[..., :SIDE // 2], plain[..., :SIDE // 2], atol=1e-5)
    assert torch.allclose(made[..., SIDE // 2:], plain[..., SIDE // 2:] * 1.5 + 2, atol=1e-4)
    assert torch.equal(after, plain)
