"""Memory modes: which one is chosen, that each one paints, and that a picture is tried again lower when memory runs
out.

Without a graphics card the parts and layers that are moved go from RAM to RAM: the same hooks, no other memory.
"""
from __future__ import annotations

import gc
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from blender_sd.engine import Engine, painter
from blender_sd.engine.memory import budget, devices, memory_modes
from blender_sd.engine.denoise.vae_tiles import round_border, tiled
from blender_sd.core.errors import InvalidRequest, OutOfMemory
from blender_sd.protocol.messages import Failed, Finished
from blender_sd.core.parts import Lora
from blender_sd.core.memory_modes import FP8, FULL, OFFLOAD, MEMORY_MODES, STREAM, TILES
from tests.support.tiny_loras import write
from tests.support.engine import small
from tests.support.engine_requests import carried_out, notes, picture

pytestmark = pytest.mark.slow

GB = 1 << 30


@pytest.fixture
def card(monkeypatch):
    """Every device has all memory modes, as a graphics card has."""
    monkeypatch.setattr(memory_modes, "available", lambda device: tuple(MEMORY_MODES))


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("mode", list(MEMORY_MODES))
def test_every_memory_mode_paints(request, card, tmp_path, name, mode):
    order = small(request.getfixturevalue(name))
    plain, lower = (carried_out(Engine(device="cpu", threads=1, memory_use=use), order, tmp_path)
                    for use in ("auto", mode))
    difference = np.abs(picture(plain) - picture(lower)).mean()
    assert difference == 0 if mode != FP8 else 0 < difference < 40
    assert (MEMORY_MODES[mode].text in notes(lower)) == (mode not in (FULL, TILES) or "quant" in mode or mode == TILES)


@pytest.mark.parametrize("mode", [OFFLOAD, STREAM, FP8])
def test_loras_come_and_go_in_every_memory_mode(card, sd, tmp_path, mode):
    made = Engine(device="cpu", threads=1, memory_use=mode)
    plain = picture(carried_out(made, small(sd), tmp_path))
    changed = picture(
        carried_out(made, small(sd, loras=(Lora(write(sd, tmp_path / "a.safetensors", "diffusers")),)), tmp_path))
    assert not np.array_equal(plain, changed)
    assert np.array_equal(plain, picture(carried_out(made, small(sd), tmp_path)))


@pytest.mark.parametrize(("kind", "free", "ram", "wanted", "mode"), [
    ("cuda", 8, 32, "auto", FULL), ("cuda", 5, 32, "auto", OFFLOAD), ("cuda", 2, 32, "auto", STREAM), ("cuda", 2, 6, "auto", FP8),  # noqa: E501
    ("cuda", 8, 32, STREAM, STREAM), ("cpu", 8, 8, "auto", FULL), ("cpu", 6, 6, "auto", FP8), ("cpu", 8, 8, TILES, TILES),  # noqa: E501
    ("cpu", 8, 8, OFFLOAD, TILES), ("cuda", 0.1, 32, "auto", None), ("cpu", 3, 3, "auto", None),
    ("mps", 8, 8, "auto", FULL), ("mps", 8, 8, FP8, TILES), ("mps", 8, 8, OFFLOAD, TILES), ("mps", 6, 32, "auto", None),
])
def test_the_fastest_memory_mode_that_fits_is_chosen(monkeypatch, kind, free, ram, wanted, mode):
    monkeypatch.setattr(memory_modes, "free_ram", lambda: int(ram * GB))
    device = SimpleNamespace(kind=kind, free_bytes=lambda: int(free * GB))
    parts = [int(size * GB) for size in (1.5, 5, 0.5)]
    if mode is None:
        with pytest.raises(OutOfMemory):
            memory_modes.choose(device, parts, wanted)
    else:
        assert memory_modes.choose(device, parts, wanted) == mode


def test_memory_that_apples_graphics_share_with_the_processor_is_counted_once(monkeypatch):
    """Metal grants a part of the RAM; what torch keeps cached of it can be used again. 16 GB of RAM with 6 GB free, of
    10 GB granted."""
    for name, size in (("recommended_max_memory", 10), ("driver_allocated_memory", 7), ("current_allocated_memory", 5)):
        monkeypatch.setattr(torch.mps, name, lambda size=size: size * GB)
    monkeypatch.setattr(devices, "total_ram", lambda: 16 * GB)
    device = devices.Device(torch.device("mps"), "auto")
    assert device.total_bytes() == 10 * GB
    for free, expected in ((6, 3 + 2), (1, 1 + 2)):
        monkeypatch.setattr(devices, "free_ram", lambda free=free: free * GB)
        assert device.free_bytes() == expected * GB
    assert memory_modes.available(device) == (FULL, TILES)


@pytest.mark.parametrize(("modes", "failures", "words"), [
    ((FULL, TILES, FP8), 1, "tiles"), ((FULL, TILES, FP8), 2, "8 bits"), (tuple(MEMORY_MODES), 2, "each of its parts"),
    (tuple(MEMORY_MODES), 3, "each layer"),
])
def test_a_picture_is_begun_again_with_less(monkeypatch, sd, tmp_path, modes, failures, words):
    monkeypatch.setattr(memory_modes, "available", lambda device: modes)
    plain = picture(carried_out(Engine(device="cpu", threads=1), small(sd), tmp_path))
    left = [failures]

    def short(*arguments, real=painter.carry_out):
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*arguments)

    monkeypatch.setattr(painter, "carry_out", short)
    events = carried_out(Engine(device="cpu", threads=1), small(sd), tmp_path)
    assert words in notes(events) and "starts again" in notes(events)
    if words != "8 bits":
        assert np.array_equal(plain, picture(events))


def test_below_the_last_mode_it_fails_in_words(monkeypatch, sd, tmp_path):
    def short(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(painter, "carry_out", short)
    made = Engine(device="cpu", threads=1)
    events = carried_out(made, small(sd), tmp_path)
    assert isinstance(events[-1],
                      Failed) and events[-1].kind == OutOfMemory.kind and notes(events).count("starts again") == 2
    assert made._load(sd).memory_mode == FULL, "the next picture begins from the top"


def test_a_picture_that_fits_only_in_tiles_is_painted_so(monkeypatch, sd, tmp_path):
    made = Engine(device="cpu", threads=1)
    made.warm()
    made._load(sd)
    monkeypatch.setattr(devices.Device, "free_bytes", lambda self: 5_000_000)
    monkeypatch.setattr(budget, "_TILE", 32)
    events = carried_out(made, small(sd, width=256, height=256, steps=1), tmp_path)
    assert isinstance(events[-1], Finished) and MEMORY_MODES[TILES].text in notes(events)


def test_a_model_loaded_while_memory_was_short_is_loaded_again_when_it_is_not(monkeypatch, sd, tmp_path):
    made = Engine(device="cpu", threads=1)
    made.warm()
    with monkeypatch.context() as short:
        short.setattr(memory_modes, "_needs", lambda device, parts, mode: [(0 if mode == FP8 else 10**18, 1)])
        assert made._load(sd).memory_mode == FP8 and made._load(sd) is made._load(sd)
    assert made._load(sd).memory_mode == FULL
    kept = made._load(sd)
    assert memory_modes.lower(kept) and made._load(sd) is kept, "memory ran out where it seemed to suffice"


def test_a_way_of_using_memory_that_does_not_exist():
    with pytest.raises(InvalidRequest, match="'little'"):
        Engine(device="cpu", threads=1, memory_use="little").warm()


@pytest.mark.parametrize("name", ["sd", "taesd"])
@pytest.mark.parametrize("tiling", ["x", "xy"])
def test_tiles_go_round_the_border(request, name, tiling):
    vae = Engine(device="cpu", threads=1, precision="fp32")._load(request.getfixturevalue(name)).base.vae
    scale = 8 if name == "sd" else 4
    vae.tile_latent_min_size, vae.tile_sample_min_size = 16, 16 * scale
    latents = torch.randn(1, 4, 32, 24, generator=torch.Generator().manual_seed(0))
    axes = [{"x": -1, "y": -2}[axis] for axis in tiling]
    shift = [12 if axis == -1 else 16 for axis in axes]

    def across_the_border(decode):
        """How far the border's pixels are from what they are in the middle of a tile, over what the picture is."""
        rolled = torch.roll(decode(torch.roll(latents, shift, axes)), [-one * scale for one in shift], axes)
        straight = decode(latents)
        assert straight.shape == (1, 3, 32 * scale, 24 * scale)
        return float((straight[..., :2] - rolled[..., :2]).abs().mean() / straight.std())

    with torch.no_grad(), tiled(vae, True, scale):
        plain = across_the_border(lambda value: type(vae).decode(vae, value).sample)
        round_about = across_the_border(lambda value: round_border(type(vae).decode, tiling, scale)
                                        (vae, value, return_dict=False)[0])
        encoded = round_border(type(vae).encode, tiling, scale)(vae, torch.randn(1, 3, 32 * scale, 24 * scale))
    assert round_about < 0.7 * plain
    size = encoded.latent_dist.mean.shape if name == "sd" else encoded.latents.shape
    assert size == latents.shape and not vae.use_tiling


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_8_bit_weights_let_go_of_the_full_ones(sd, tmp_path):
    """A weight that is not cast would keep the whole file mapped, as a view of it."""
    folder = shutil.copytree(sd, tmp_path / "sd")
    model = Engine(device="cpu", precision="fp32", threads=1, memory_use=FP8)._load(str(folder))
    gc.collect()
    assert model.memory_mode == FP8 and str(folder / "unet") not in Path("/proc/self/maps").read_text(encoding="utf-8")
