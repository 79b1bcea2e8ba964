"""The operators with a real engine process and a tiny model (SD_ENGINE_PYTHON names an interpreter with torch)."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import bpy
import pytest
from addon_helpers import cube, drain, state

import blender_sd
from blender_sd import api, config

ENGINE_START = 300.0  # seconds; torch on a busy machine
PYTHON = os.environ.get("SD_ENGINE_PYTHON", "")
TINY_MODELS = Path(__file__).parents[2] / "engine" / "tiny_models.py"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON, reason="SD_ENGINE_PYTHON names no interpreter with torch")]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([PYTHON, str(TINY_MODELS), str(folder)], check=True, capture_output=True)
    return str(folder / "sd")


@pytest.fixture
def panel(monkeypatch, tmp_path, model):
    """The panel's settings, ready for a small picture by the tiny model."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    monkeypatch.setattr(config, "current", config.Config(engine_python=PYTHON, output=str(tmp_path), threads=1))
    blender_sd.register()
    settings = bpy.context.scene.sd
    settings.prompt, settings.model, settings.width, settings.height, settings.steps = "brick", model, 64, 64, 2
    yield settings
    blender_sd.unregister()


def test_panel_and_console_make_the_same_picture(panel, model):
    panel.target = "MATERIAL"
    bpy.ops.sd.generate()
    drain(timeout=ENGINE_START)
    job = api.jobs()[-1]
    assert job.state == "finished", job.error
    assert state().engine == "ready"
    image = job.outputs[0]
    assert cube().active_material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_node.image == image
    same = api.generate("brick", seed=panel.seed, size=(64, 64), steps=2, guidance=panel.guidance, sampler=panel.sampler, model=model)
    assert same.result(ENGINE_START)[0].pixels[:] == image.pixels[:]

    panel.slot_strength = 0.9
    bpy.ops.sd.retexture()
    drain(timeout=ENGINE_START)
    assert api.jobs()[-1].state == "finished", api.jobs()[-1].error
    assert api.jobs()[-1].request.strength == pytest.approx(0.9)


def test_a_cancelled_job_leaves_nothing_and_the_next_works(panel, tmp_path):
    panel.steps = 400
    images = len(bpy.data.images)
    bpy.ops.sd.generate()
    job = api.jobs()[-1]
    drain(lambda: job.step > 1, ENGINE_START)
    bpy.ops.sd.cancel()
    drain(timeout=ENGINE_START)
    assert job.state == "cancelled" and not list(tmp_path.glob("**/*.png")) and len(bpy.data.images) == images
    panel.steps = 2
    bpy.ops.sd.generate()
    drain(timeout=ENGINE_START)
    assert api.jobs()[-1].state == "finished", api.jobs()[-1].error
