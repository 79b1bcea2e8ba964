"""The ladder of memory: which rung is chosen, that each one paints, and that a picture is tried again lower when memory runs out.

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
from conftest import small
from PIL import Image
from test_loras import write

from blender_sd.engine import Engine, devices, engine, ladder, memory
from blender_sd.engine.vae_tiles import round_border, tiled
from blender_sd.protocol.errors import InvalidRequest, OutOfMemory
from blender_sd.protocol.messages import Failed, Finished, Generate, Note
from blender_sd.protocol.parts import Lora
from blender_sd.protocol.rungs import FP8, FULL, OFFLOAD, RUNGS, STREAM, TILES

pytestmark = pytest.mark.slow

GB = 1 << 30


def carried_out(made, order, tmp_path):
    events = []
    made.run(Generate("job", order, order.model, str(tmp_path), {}), events.append, lambda: False)
    return events


def picture(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path)).astype(int)


def notes(events):
    return " ".join(event.text for event in events if isinstance(event, Note))


@pytest.fixture
def card(monkeypatch):
    """Every device has all rungs, as a graphics card has."""
    monkeypatch.setattr(ladder, "on", lambda device: tuple(RUNGS))


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("rung", list(RUNGS))
def test_every_rung_paints(request, card, tmp_path, name, rung):
    order = small(request.getfixturevalue(name))
    plain, lower = (carried_out(Engine(device="cpu", threads=1, memory_use=use), order, tmp_path) for use in ("auto", rung))
    difference = np.abs(picture(plain) - picture(lower)).mean()
    assert difference == 0 if rung != FP8 else 0 < difference < 40
    assert (RUNGS[rung].text in notes(lower)) == (rung not in (FULL, TILES) or "quant" in rung or rung == TILES)


@pytest.mark.parametrize("rung", [OFFLOAD, STREAM, FP8])
def test_loras_come_and_go_on_every_rung(card, sd, tmp_path, rung):
    made = Engine(device="cpu", threads=1, memory_use=rung)
    plain = picture(carried_out(made, small(sd), tmp_path))
    changed = picture(carried_out(made, small(sd, loras=(Lora(write(sd, tmp_path / "a.safetensors", "diffusers")),)), tmp_path))
    assert not np.array_equal(plain, changed)
    assert np.array_equal(plain, picture(carried_out(made, small(sd), tmp_path)))


@pytest.mark.parametrize(("kind", "free", "ram", "wanted", "rung"), [
    ("cuda", 8, 32, "auto", FULL), ("cuda", 5, 32, "auto", OFFLOAD), ("cuda", 2, 32, "auto", STREAM), ("cuda", 2, 6, "auto", FP8),
    ("cuda", 8, 32, STREAM, STREAM), ("cpu", 8, 8, "auto", FULL), ("cpu", 6, 6, "auto", FP8), ("cpu", 8, 8, TILES, TILES),
    ("cpu", 8, 8, OFFLOAD, TILES), ("cuda", 0.1, 32, "auto", None), ("cpu", 3, 3, "auto", None),
])
def test_the_fastest_rung_that_fits_is_chosen(monkeypatch, kind, free, ram, wanted, rung):
    monkeypatch.setattr(ladder, "free_ram", lambda: int(ram * GB))
    device = SimpleNamespace(kind=kind, free_bytes=lambda: int(free * GB))
    parts = [int(size * GB) for size in (1.5, 5, 0.5)]
    if rung is None:
        with pytest.raises(OutOfMemory):
            ladder.choose(device, parts, wanted)
    else:
        assert ladder.choose(device, parts, wanted) == rung


@pytest.mark.parametrize(("rungs", "failures", "words"), [
    ((FULL, TILES, FP8), 1, "tiles"), ((FULL, TILES, FP8), 2, "8 bits"), (tuple(RUNGS), 2, "each of its parts"),
    (tuple(RUNGS), 3, "each layer"),
])
def test_a_picture_is_begun_again_with_less(monkeypatch, sd, tmp_path, rungs, failures, words):
    monkeypatch.setattr(ladder, "on", lambda device: rungs)
    plain = picture(carried_out(Engine(device="cpu", threads=1), small(sd), tmp_path))
    left = [failures]

    def short(*arguments, real=engine.carry_out):
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*arguments)

    monkeypatch.setattr(engine, "carry_out", short)
    events = carried_out(Engine(device="cpu", threads=1), small(sd), tmp_path)
    assert words in notes(events) and "begun again" in notes(events)
    if words != "8 bits":
        assert np.array_equal(plain, picture(events))


def test_below_the_last_rung_it_fails_in_words(monkeypatch, sd, tmp_path):
    def short(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "carry_out", short)
    made = Engine(device="cpu", threads=1)
    events = carried_out(made, small(sd), tmp_path)
    assert isinstance(events[-1], Failed) and events[-1].kind == OutOfMemory.kind and notes(events).count("begun again") == 2
    assert made._load(sd).rung == FULL, "the next picture begins from the top"


def test_a_picture_that_fits_only_in_tiles_is_painted_so(monkeypatch, sd, tmp_path):
    made = Engine(device="cpu", threads=1)
    made.warm()
    made._load(sd)
    monkeypatch.setattr(devices.Device, "free_bytes", lambda self: 5_000_000)
    monkeypatch.setattr(memory, "_TILE", 32)
    events = carried_out(made, small(sd, width=256, height=256, steps=1), tmp_path)
    assert isinstance(events[-1], Finished) and RUNGS[TILES].text in notes(events)


def test_a_model_loaded_while_memory_was_short_is_loaded_anew_when_it_is_not(monkeypatch, sd, tmp_path):
    made = Engine(device="cpu", threads=1)
    made.warm()
    with monkeypatch.context() as short:
        short.setattr(ladder, "_needs", lambda device, parts, rung: [(0 if rung == FP8 else 10**18, 1)])
        assert made._load(sd).rung == FP8 and made._load(sd) is made._load(sd)
    assert made._load(sd).rung == FULL
    kept = made._load(sd)
    assert ladder.lower(kept) and made._load(sd) is kept, "memory ran out where it seemed to suffice"


def test_a_way_of_using_memory_that_does_not_exist():
    with pytest.raises(InvalidRequest, match="'little'"):
        Engine(device="cpu", memory_use="little").warm()


@pytest.mark.parametrize("name", ["sd", "taesd"])
@pytest.mark.parametrize("tiling", ["x", "xy"])
def test_tiles_go_round_the_border(request, name, tiling):
    vae = Engine(device="cpu", precision="fp32")._load(request.getfixturevalue(name)).base.vae
    scale = 8 if name == "sd" else 4
    vae.tile_latent_min_size, vae.tile_sample_min_size = 16, 16 * scale
    latents = torch.randn(1, 4, 48, 40, generator=torch.Generator().manual_seed(0))
    axes = [{"x": -1, "y": -2}[axis] for axis in tiling]
    shift = [20 if axis == -1 else 24 for axis in axes]

    def across_the_border(decode):
        """How far the border's pixels are from what they are in the middle of a tile, over what the picture is."""
        rolled = torch.roll(decode(torch.roll(latents, shift, axes)), [-one * scale for one in shift], axes)
        straight = decode(latents)
        assert straight.shape == (1, 3, 48 * scale, 40 * scale)
        return float((straight[..., :2] - rolled[..., :2]).abs().mean() / straight.std())

    with torch.no_grad(), tiled(vae, True, scale):
        plain = across_the_border(lambda value: type(vae).decode(vae, value).sample)
        round_about = across_the_border(lambda value: round_border(type(vae).decode, tiling, scale)(vae, value, return_dict=False)[0])
        encoded = round_border(type(vae).encode, tiling, scale)(vae, torch.randn(1, 3, 48 * scale, 40 * scale))
    assert round_about < 0.7 * plain
    size = encoded.latent_dist.mean.shape if name == "sd" else encoded.latents.shape
    assert size == latents.shape and not vae.use_tiling


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_8_bit_weights_let_go_of_the_full_ones(sd, tmp_path):
    """A weight that is not cast would keep the whole file mapped, as a view of it."""
    folder = shutil.copytree(sd, tmp_path / "sd")
    model = Engine(device="cpu", precision="fp32", threads=1, memory_use=FP8)._load(str(folder))
    gc.collect()
    assert model.rung == FP8 and str(folder / "unet") not in Path("/proc/self/maps").read_text(encoding="utf-8")
