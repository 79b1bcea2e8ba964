"""Attention by other packages and compiled blocks: the same pixels, never a failed picture, and a note where they
cannot be used."""
from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from blender_sd.engine import Engine
from blender_sd.engine.memory import acceleration
from blender_sd.core.errors import InvalidRequest
from blender_sd.protocol.messages import Finished, Step
from blender_sd.core.parts import Lora
from blender_sd.core.memory_modes import FP8
from tests.support.tiny_loras import write
from tests.support.engine_requests import carried_out, notes, picture
from tests.support.engine import small

pytestmark = pytest.mark.slow
compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")


@pytest.fixture
def made():
    """Makes engines with settings of their own."""
    engines = []

    def make(**settings):
        engines.append(Engine(device="cpu", precision="fp32", threads=1, **settings))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["sd", "sd3"])
@pytest.mark.parametrize("attention", ["flash", "sage", "xformers"])
def test_what_is_not_installed_is_left_out_with_one_note(request, made, engine, tmp_path, name, attention):
    order = small(request.getfixturevalue(name))
    asked = made(attention=attention)
    events = carried_out(asked, order, tmp_path)
    assert "not installed" in notes(events) and attention in notes(events)
    assert np.array_equal(picture(events), picture(carried_out(engine, order, tmp_path)))
    assert attention not in notes(carried_out(asked, order, tmp_path))


@pytest.mark.parametrize(("attention", "words"), [("flash", "only be given "
                                                            "xformers"), ("xformers", "does not run on this device")])
def test_what_does_not_fit_is_left_out(made, sd, tmp_path, monkeypatch, attention, words):
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: name)
    assert words in notes(carried_out(made(attention=attention), small(sd), tmp_path))


def test_an_attention_that_does_not_exist(made):
    with pytest.raises(InvalidRequest, match="'quick'"):
        made(attention="quick").warm()


def test_the_dispatcher_is_asked_for_it_while_a_picture_is_painted(made, tmp_path, monkeypatch, sd):
    """With a backend that every torch has, in place of one that needs a card."""
    from diffusers.models import attention_dispatch

    used, registry = [], attention_dispatch._AttentionBackendRegistry
    asked = made(attention="flash")
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(acceleration, "_dispatches", lambda model: True)
    monkeypatch.setattr(attention_dispatch, "_check_attention_backend_requirements", lambda backend: None)
    monkeypatch.setitem(registry._backends, "flash", lambda **values: values["query"])

    def hear(event):
        if isinstance(event, Step) and event.step:
            used.append(registry._active_backend.value)

    asked.generate("brick", seed=1, steps=2, size=(64, 64), model=sd, on_event=hear)
    assert used == ["flash", "flash"] and registry._active_backend.value == "native"


@compiler
def test_compiled_blocks_give_the_same_picture(made, engine, sd, tmp_path):
    events = carried_out(made(compile=True), small(sd, steps=2), tmp_path)
    difference = np.abs(picture(events) - picture(carried_out(engine, small(sd, steps=2), tmp_path)))
    assert not notes(events) and difference.max() <= 2


def test_compiled_blocks_follow_what_changes(made, engine, sd, tmp_path, monkeypatch):
    """Tiling, which changes the padding of convolutions, another size, a LoRA that comes and goes: all that torch
    compiles again for. What it traces is run as it is, since making machine code of it takes minutes."""
    monkeypatch.setattr(acceleration, "_COMPILER", "eager")
    compiled = made(compile=True, preview_px=64)
    file = write(sd, tmp_path / "a.safetensors", "diffusers")
    orders = [small(sd), small(sd, tiling="xy"), small(sd, width=96), small(sd, loras=(Lora(file, 1.0),)), small(sd)]
    seen, steps = [], []
    for order in orders:
        events = carried_out(compiled, order, tmp_path)
        steps += [event for event in events if isinstance(event, Step)]
        assert isinstance(events[-1], Finished) and not notes(events), notes(events)
        seen.append(picture(events))
        difference = np.abs(seen[-1] - picture(carried_out(engine, order, tmp_path)))
        assert difference.max() <= 2
    assert np.array_equal(seen[0],
                          seen[-1]) and np.abs(seen[0] - seen[3]).max() > 2 and np.abs(seen[0] - seen[1]).max() > 2
    model = compiled._load(sd)
    assert model.compiled and all(block._compiled_call_impl is not None for block in acceleration._blocks(model))
    assert any(step.preview is not None for step in steps)  # the first picture is slow, since torch traces the model


def test_what_breaks_while_painting_is_switched_off_with_a_note(made, engine, sd, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no compiler found")

    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **o: setattr(self, "_compiled_call_impl", broken))
    asked = made(compile=True)
    events = carried_out(asked, small(sd), tmp_path)
    assert isinstance(events[-1], Finished) and "failed with compiling" in notes(events)
    assert np.array_equal(picture(events), picture(carried_out(engine, small(sd), tmp_path)))
    assert not notes(carried_out(asked, small(sd), tmp_path))


def test_what_cannot_be_compiled_gets_a_note(made, sd, sd3, tmp_path):
    assert "memory is short" in notes(carried_out(made(compile=True, memory_use=FP8), small(sd), tmp_path))
