"""The operators with a real engine process and a tiny model (SD_ENGINE_PYTHON names an interpreter with torch)."""
from __future__ import annotations

import os

import bpy
import pytest

import blender_sd
import blender_sd as sd
from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from tests.support.addon import cube, drain, state
from tests.support.calls import build_tiny_models

ENGINE_START = 300.0  # seconds; torch on a busy machine
PYTHON = os.environ.get("SD_ENGINE_PYTHON", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SD_ENGINE_PYTHON names no interpreter with torch")]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(build_tiny_models(PYTHON, tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def registered():
    """The add-on, with one engine process for both tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "config", config.Config(engine_python=PYTHON, threads=1))
        blender_sd.register()
        yield
        blender_sd.unregister()


@pytest.fixture
def panel(registered, monkeypatch, tmp_path, model):
    """The panel's settings, ready for a small picture by the tiny model."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    monkeypatch.setattr(runtime, "config", runtime.config.changed(output=str(tmp_path)))
    settings = bpy.context.scene.sd
    settings.prompt, settings.model, settings.width, settings.height, settings.steps = "brick", model, 64, 64, 2
    return settings


def test_panel_and_console_make_the_same_picture(panel, model):
    panel.target = "MATERIAL"
    bpy.ops.sd.generate()
    drain(timeout=ENGINE_START)
    job = sd.jobs()[-1]
    assert job.state == "finished", job.error
    assert state().engine == "ready"
    image = job.outputs[0]
    assert cube(
    ).active_material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_node.image == image
    same = sd.generate("brick", seed=panel.seed, size=(64, 64), steps=2, guidance=panel.guidance, sampler=panel.sampler,
                       model=model)
    assert same.result(ENGINE_START)[0].pixels[:] == image.pixels[:]

    panel.slot_strength = 0.9
    bpy.ops.sd.retexture()
    drain(timeout=ENGINE_START)
    assert sd.jobs()[-1].state == "finished", sd.jobs()[-1].error
    assert sd.jobs()[-1].request.task.strength == pytest.approx(0.9)


def test_a_cancelled_job_leaves_nothing_and_the_next_works(panel, tmp_path):
    panel.steps = 400
    images = len(bpy.data.images)
    bpy.ops.sd.generate()
    job = sd.jobs()[-1]
    drain(lambda: job.step > 1, ENGINE_START)
    bpy.ops.sd.cancel()
    drain(timeout=ENGINE_START)
    assert job.state == "cancelled" and not list(tmp_path.glob("**/*.png")) and len(bpy.data.images) == images
    panel.steps = 2
    bpy.ops.sd.generate()
    drain(timeout=ENGINE_START)
    assert sd.jobs()[-1].state == "finished", sd.jobs()[-1].error
