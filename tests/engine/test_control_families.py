"""ControlNets of every class on tiny models of every family: where the table names them they steer, and elsewhere they
are refused."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blender_sd.core.families import family_of
from blender_sd.protocol.messages import Source
from blender_sd.core.parts import Control
from blender_sd.core.regions import Region
from blender_sd.core.tasks import INPAINT, MAKE_SEAMLESS, OUTPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from blender_sd.library.controlnets import read_controlnet
from blender_sd.library.models import read_model
from tests.support.requests import fitting
from tests.support.family_requests import SIZES, hole, made, pixels, refused
from tests.support import tiny_controlnets

pytestmark = pytest.mark.slow

PAIRS = {
    "plain": "sd", "union": "sdxl", "flux": "flux", "flux_union": "flux_schnell", "sd3": "sd3", "qwen": "qwen_image",
    "z_image": "z_image", "sana": "sana"}  # a kind of ControlNet, and a model that it is built for


@pytest.fixture(scope="module")
def net(models, families):
    def net(kind, model=None, seed=0):
        model = model or PAIRS[kind]
        folder = models / f"{model}-{kind}-control-{seed}"
        return str(folder if folder.exists() else tiny_controlnets.build(kind, families(model), folder, seed=seed))

    return net


@pytest.fixture
def steer(run, families):
    """Runs one order of `task` on the tiny model `name`, steered by `controls`; returns its events."""

    def steer(name, task, *controls, **changes):
        size = SIZES[task] if task != TEXT_TO_IMAGE else (96, 64)
        request = fitting(
            **{
                "task": task, "prompt": "red brick", "model": families(
                    name), "width": size[0], "height": size[1], "steps": 2, "guidance": 4.0, "strength": 1.0,
                "tile": 64, "seed": 7, "sampler": "euler", "controls": controls, "tiling": "x" if task ==
                MAKE_SEAMLESS else "none", "right": 32 if task == OUTPAINT else 0, **changes})
        shapes = {f"control{number}": Source(pixels=np.roll(pixels(96, 64), 7 * number, 0)) for number in range(2)}
        everywhere = {"region0": Source(pixels=np.full((64, 96, 4), 255, np.uint8))}
        return run(request, inputs={"source": Source(pixels=pixels()), "mask": hole(), **everywhere, **shapes})

    return steer


@pytest.mark.parametrize("kind", PAIRS)
def test_a_region_weakens_it_in_its_place(steer, net, kind):
    name, control = PAIRS[kind], Control("depth", net(kind))
    # Of a control that never counts; some pipelines draw other noise where there is none
    strong, plain = (made(steer(name, TEXT_TO_IMAGE, replace(control, start=start))) for start in (0.0, 0.99))
    off, half = (made(steer(name, TEXT_TO_IMAGE, control, regions=(Region("mask", control=factor),)))
                 for factor in (0.0, 0.5))
    assert np.array_equal(off, plain)
    assert not np.array_equal(half, plain) and not np.array_equal(half, strong)


@pytest.mark.parametrize("task", [task for task in TASKS if task != UPSCALE])
@pytest.mark.parametrize("kind", PAIRS)
def test_it_steers_the_tasks_that_the_table_names(steer, net, families, kind, task):
    name = PAIRS[kind]
    family, found = read_model(families(name)).abilities, read_controlnet(net(kind))
    assert found.fits(read_model(families(name))) and found.family in family.name
    events = steer(name, task, Control("depth", net(kind)))
    if family.refusal(task, found.kind.cls):
        assert refused(events) == family.refusal(task, found.kind.cls)
        return
    steered, plain = made(events), made(steer(name, task))
    assert not np.array_equal(steered, plain)
    assert np.array_equal(plain, made(steer(name, task, Control("depth", net(kind), weight=0.0))))
    assert np.array_equal(steered, made(steer(name, task, Control("depth", net(kind)))))


@pytest.mark.parametrize("kind", PAIRS)
def test_weight_and_span(steer, net, kind):
    name = PAIRS[kind]

    def with_(**settings):
        return made(steer(name, TEXT_TO_IMAGE, Control("depth", net(kind), **settings), steps=4))

    whole, light = with_(), with_(weight=0.3)
    early, late = with_(end=0.5), with_(start=0.5)
    assert len({one.tobytes() for one in (whole, light, early, late)}) == 4


@pytest.mark.parametrize("kind", PAIRS)
def test_several_at_once_where_diffusers_can(steer, net, families, kind):
    name = PAIRS[kind]
    one, two = Control("depth", net(kind)), Control("canny", net(kind, seed=1))
    events = steer(name, TEXT_TO_IMAGE, one, two)
    if not read_model(families(name)).abilities.several:
        assert "Several ControlNets do not work together" in refused(events)
        return
    both = made(events)
    assert not np.array_equal(both, made(steer(name, TEXT_TO_IMAGE, one)))
    assert not np.array_equal(both, made(steer(name, TEXT_TO_IMAGE, two)))


@pytest.mark.parametrize("kind", PAIRS)
def test_with_tiling_the_control_stays_where_the_picture_is(steer, net, kind):
    """Rolled by the same distance, transformer and ControlNet see the same places; the model is as before
    afterwards."""
    name = PAIRS[kind]
    wrapped = made(steer(name, TEXT_TO_IMAGE, Control("depth", net(kind)), tiling="xy", steps=3))
    assert not np.array_equal(wrapped, made(steer(name, TEXT_TO_IMAGE, tiling="xy", steps=3)))
    plain = made(steer(name, TEXT_TO_IMAGE))
    assert np.array_equal(plain, made(steer(name, TEXT_TO_IMAGE, Control("depth", net(kind), weight=0.0),
                                            tiling="none")))


@pytest.mark.parametrize("kind", PAIRS)
def test_one_of_another_family_is_refused_by_name_with_nothing_loaded(steer, engine, net, families, kind):
    for name in ("sd2", "sdxl", "flux", "flux_kontext", "flux2_klein", "sd3", "qwen_edit", "sana_sprint", "z_image"):
        info, found = read_model(families(name)), read_controlnet(net(kind))
        if found.fits(info):
            continue
        task = info.abilities.tasks[0]
        before = len(engine._load(families(name)).controlnets)
        message = refused(steer(name, task, Control("depth", net(kind))))
        if info.abilities.controls:
            assert found.name in message and found.family in message and info.family in message
        else:
            assert f"ControlNets do not work with {info.family} models" in message
        assert len(engine._load(families(name)).controlnets) == before


def test_a_union_gets_the_kind_of_its_picture_and_refuses_what_it_cannot_read(steer, net):
    for kind, unread in (("union", "image"), ("flux_union", "normal")):
        depth, lines = (made(steer(PAIRS[kind], TEXT_TO_IMAGE, Control(shows, net(kind))))
                        for shows in ("depth", "lines"))
        assert not np.array_equal(depth, lines)
        assert f"reads no {unread} pictures" in refused(steer(PAIRS[kind], TEXT_TO_IMAGE, Control(unread, net(kind))))


def test_different_kinds_do_not_mix(steer, net):
    message = refused(
        steer("sdxl", TEXT_TO_IMAGE, Control("depth", net("union")), Control("depth", net("plain", "sdxl"))))
    assert "different kinds" in message


def test_inpaint_checkpoints_are_steered_while_they_inpaint():
    family = family_of("StableDiffusionInpaintPipeline", {"in_channels": 9})
    assert family.steers(INPAINT) and not family.steers(TEXT_TO_IMAGE)
