"""Attention in blocks of rows: the same as torch's within what bf16 can hold, and only where it is meant to be."""
from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from blender_sd.engine.memory import attention


def made(tokens: int, keys: int, width: int, dtype: torch.dtype = torch.bfloat16) -> tuple[torch.Tensor, ...]:
    """Query, key and value as UNets lay them out: heads are a view of the last axis."""
    draw = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(2, count, 4, width, generator=draw).to(dtype).transpose(1, 2) for count in (tokens, keys, keys))


@pytest.mark.parametrize(("tokens", "keys", "width", "scale"), [(512, 512, 40, None), (1300, 3000, 64, None), (70, 9000, 32, 0.3)])  # noqa: E501
def test_attention_in_blocks_is_attention(tokens, keys, width, scale):
    query, key, value = made(tokens, keys, width)
    exact = scaled_dot_product_attention(query.double(), key.double(), value.double(), scale=scale)
    found = attention.attend(query, key, value, scale)
    assert found.shape == exact.shape and found.dtype == torch.bfloat16
    assert (found - exact).norm() / exact.norm() < 0.02


def test_it_takes_the_place_of_torchs_own_only_where_it_can(monkeypatch):
    asked = []
    monkeypatch.setattr(attention, "attend", lambda *args, scale: asked.append(scale) or args[0])
    many, few, full = made(64, 512, 32), made(64, 500, 32), made(64, 512, 32, torch.float32)
    mask = torch.zeros(64, 512, dtype=torch.bfloat16)
    with attention.InBlocks():
        scaled_dot_product_attention(*many, scale=0.5)  # gradients are on
        with torch.no_grad():
            for others, settings in ((few, {}), (full, {}), (many, {"attn_mask": mask}), (many, {"is_causal": True})):
                scaled_dot_product_attention(*others, **settings)
            assert not asked
            scaled_dot_product_attention(*many, attn_mask=None, dropout_p=0.0, is_causal=False, scale=0.5)
    assert asked == [0.5]


@pytest.mark.parametrize(("bf16", "amx", "dtype", "device", "on"), [
    (True, False, torch.bfloat16, "cpu", True), (True, True, torch.bfloat16, "cpu", False), (False, False, torch.bfloat16, "cpu", False),  # noqa: E501
    (True, False, torch.float32, "cpu", False), (True, False, torch.bfloat16, "cuda", False),
])
def test_which_processors_and_models_it_suits(monkeypatch, bf16, amx, dtype, device, on):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert isinstance(attention.within(dtype, torch.device(device)), attention.InBlocks) is on


def test_a_torch_that_cannot_tell_the_processor_paints_as_it_is(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not isinstance(attention.within(torch.bfloat16, torch.device("cpu")), attention.InBlocks)
