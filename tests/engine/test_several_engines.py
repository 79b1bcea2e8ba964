"""Several engines on one machine: which card each takes, and what it may keep of its memory."""
from __future__ import annotations

import pytest
import torch

from blender_sd.core.errors import InvalidRequest
from blender_sd.engine.memory import devices
from blender_sd.geometry import slices
from blender_sd.protocol.messages import EngineConfig


@pytest.fixture()
def two_cards(monkeypatch):
    """A machine with two cards of 24 GiB, as torch shows it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (20 << 30, 24 << 30))


def chosen(device: str, engines: int) -> list[str]:
    return [str(devices.choose(EngineConfig(device=device, engine=number, engines=engines)).torch)
            for number in range(engines)]


def test_engines_take_the_cards_in_turn(two_cards):
    assert chosen("auto", 4) == chosen("cuda", 4) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]


def test_a_card_that_is_named_is_everybodys(two_cards):
    assert chosen("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert chosen("cpu", 2) == ["cpu", "cpu"]
    with pytest.raises(InvalidRequest, match="no device 'cuda:2'"):
        chosen("cuda:2", 2)


def test_engines_on_one_card_share_its_memory(two_cards):
    def budget(device: str, engines: int, memory_mb: int = 0) -> int:
        card = devices.choose(EngineConfig(device=device, engines=engines))
        return devices.budget_bytes(card, memory_mb, engines, ":" in device) >> 30

    assert [budget("auto", engines) for engines in (1, 2, 3, 4)] == [12, 12, 6, 6]
    assert budget("cuda:1", 4) == 3 and budget("auto", 4, 8 << 10) == 8


def test_engines_on_a_processor_share_its_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(devices, "_cores", lambda: 8)
    try:
        assert [devices.set_threads(0, engines) for engines in (1, 2, 3, 16)] == [8, 4, 2, 1]
        assert devices.set_threads(3, 4) == 3 == slices.workers()
        devices.set_threads(64)
        assert slices.workers() == 8
    finally:
        devices.set_threads(before)
